"""Compares the QDQ file in onnxruntime with judge and engine, and explains every differing integer.

onnxruntime computes a layer in float32 and rounds once at its end; the judge computes in integers.
Both round the same real number, so they differ by one code, and only where that number is about as
far from one code as from the next. Every layer is fed with onnxruntime's own integers, so that one
layer's tie does not excuse the next layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.engine import Engine
from nibblefit.errors import MismatchError
from nibblefit.fixed.formats import FloatArray, IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tao.writing.exact import Exact, exact_results
from nibblefit_tao.writing.running import run_onnx


@dataclass(frozen=True, slots=True)
class TensorAgreement:
    """How the integers of one tensor agree.

    Attributes:
        tensor: Its name.
        count: Number of integers.
        differing: Those that differ when both start from the same input.
        inherited: Those among them that the layer itself did not cause.
        ties: Integers that differ by one from the judge's on the same integers in, because a half
            lies between the results of both.
        unexplained: All other local differences. An error.
        farthest: Largest distance of a tied result from its half, in steps.
    """

    tensor: str
    count: int
    differing: int = 0
    inherited: int = 0
    ties: int = 0
    unexplained: int = 0
    farthest: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """All tensors, by name, in execution order."""

    tensors: Mapping[str, TensorAgreement]

    @property
    def total(self) -> TensorAgreement:
        """Sums over all tensors."""
        entries = self.tensors.values()
        return TensorAgreement(
            "total", sum(e.count for e in entries), sum(e.differing for e in entries),
            sum(e.inherited for e in entries), sum(e.ties for e in entries),
            sum(e.unexplained for e in entries), max((e.farthest for e in entries), default=0.0),
        )  # fmt: skip

    def require_explained(self) -> None:
        """Raise unless every difference is a rounding tie.

        Raises:
            MismatchError: Names the tensors that differ otherwise.
        """
        bad = [entry for entry in self.tensors.values() if entry.unexplained]
        if bad:
            listed = ", ".join(f"'{entry.tensor}' ({entry.unexplained})" for entry in bad)
            raise MismatchError(
                f"onnxruntime and the judge differ beyond rounding ties in {listed}",
                hint="the file does not say what the graph computes: compile again",
            )


def compare(graph: QuantizedGraph, model: onnx.ModelProto,
            inputs: Mapping[str, npt.NDArray[np.float32]]) -> Agreement:  # fmt: skip
    """Run a QDQ model and its integer graph on the same real inputs and compare all codes.

    Raises:
        MismatchError: Engine and judge differ, which must not happen.
        MissingExtraError: onnxruntime is not installed.
    """
    rounding = Rounding(graph.metadata["input_rounding"])
    codes = {n: quantize(inputs[n], graph.tensors[n].format, rounding) for n in graph.inputs}
    judged = reference.run(graph, codes).tensors
    _check_engine(graph, codes, judged)
    found = _runtime_codes(graph, model, inputs)
    wanted = exact_results(graph, found, inputs)
    agreed = {
        name: _classified(name, wanted[name], codes[name], codes[name], found[name])
        for name in graph.inputs
    }
    tensors = {name: found[name] for name in graph.inputs}
    for node in graph.nodes:
        local = reference.run_node(graph, node, tensors, dict(graph.states))
        for name, alone in zip(node.outputs, local, strict=True):
            tensors[name] = found.get(name, alone)
            if name in found:
                agreed[name] = _classified(name, wanted[name], alone, judged[name], found[name])
    return Agreement(frozen_mapping(agreed))


def _runtime_codes(
    graph: QuantizedGraph, model: onnx.ModelProto, inputs: Mapping[str, npt.NDArray[np.float32]]
) -> dict[str, IntArray]:
    """Return every tensor that the model and the graph both have, as codes."""
    made = {output for node in model.graph.node for output in node.output}
    sources = {name: f"{name}:codes" for name in graph.inputs}
    # What moves codes only has no quantizer of its own: its real numbers are whole steps.
    for node in graph.nodes:
        for name in node.outputs:
            coded = f"{name}:codes"
            sources.update({name: coded if coded in made else name} if name in made else {})
    values = run_onnx(model, inputs, tuple(sources.values()))
    found = {}
    for name, source in sources.items():
        fmt, result = graph.tensors[name].format, values[source]
        if result.dtype.kind == "f":
            result = np.rint(result.astype(np.float64) / fmt.scale.values()[0])
        found[name] = result.astype(np.int64)
    return found


def _check_engine(graph: QuantizedGraph, codes: Mapping[str, IntArray],
                  judged: Mapping[str, IntArray]) -> None:  # fmt: skip
    run = Engine(graph).run(codes, keep="all").tensors
    for name, values in judged.items():
        if not np.array_equal(values, run[name]):
            raise MismatchError(f"engine and judge differ in tensor '{name}'",
                                hint="please report this network")  # fmt: skip


def _classified(name: str, wanted: Exact, local: IntArray, judged: IntArray,
                found: IntArray) -> TensorAgreement:  # fmt: skip
    """Return the counts of one tensor; `local` is the judge fed with onnxruntime's integers."""
    found = found.reshape(judged.shape)
    differs, differing = local != found, judged != found
    inherited, count = int((differing & ~differs).sum()), found.size
    half: FloatArray = (np.minimum(local, found) + 0.5)[differs]
    apart = np.abs(np.broadcast_to(wanted.steps, found.shape)[differs] - half)
    slack = np.broadcast_to(wanted.slack, found.shape)[differs]
    ties = (np.abs(local - found)[differs] == 1) & (apart <= slack)
    return TensorAgreement(
        name, count, int(differing.sum()), inherited, int(ties.sum()), int((~ties).sum()),
        float(apart[ties].max(initial=0.0)),
    )  # fmt: skip
