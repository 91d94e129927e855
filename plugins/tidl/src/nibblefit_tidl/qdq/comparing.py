"""Compares a QDQ model in onnxruntime with the judge, and explains every differing integer.

Every layer is looked at twice. *Locally*, with the integers that onnxruntime fed it: there judge
and onnxruntime may differ only where a half lies between what both compute before rounding.
*Globally*, both from the same input: there a difference may also be inherited from a layer before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.engine import Engine
from nibblefit.errors import MismatchError
from nibblefit.fixed.formats import FloatArray, IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit_tidl.qdq.expected import ROUNDOFF, Expected
from nibblefit_tidl.qdq.formulas import expected
from nibblefit_tidl.qdq.naming import quantized_name
from nibblefit_tidl.qdq.running import codes_of
from nibblefit_tidl.qdq.structure import load_qdq

#: Results this close to one another, in output steps, that round apart are called a tie: larger
#: distances come from factors that the device keeps in few bits.
TIE = 2.0**-10


@dataclass(frozen=True, slots=True)
class TensorAgreement:
    """How the integers of one tensor agree.

    Attributes:
        tensor: Its name.
        count: Number of integers.
        exact_ties: Local differences where the real result lies exactly between two codes: the
            device rounds it up, ONNX to even.
        near_ties: Local differences where float32 and the device's multipliers, which differ by
            less than `TIE` of a step, fall on different sides of a half.
        factors: Local differences because the device computes with a factor of few bits (averages
            and sums of symmetric modes), each side's result being its own, correctly rounded.
        unexplained: Local differences without any such reason. An error.
        differing: Integers that differ when both start from the same input.
        inherited: Those among them that the layer itself did not cause.
        farthest: Largest distance of a tied result from its half, in steps.
    """

    tensor: str
    count: int
    exact_ties: int = 0
    near_ties: int = 0
    factors: int = 0
    unexplained: int = 0
    differing: int = 0
    inherited: int = 0
    farthest: float = 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Judge, engine and onnxruntime on some inputs.

    Attributes:
        tensors: By name, in execution order.
        outputs: Codes of the outputs by onnxruntime.
    """

    tensors: Mapping[str, TensorAgreement]
    outputs: Mapping[str, IntArray]

    @property
    def total(self) -> TensorAgreement:
        """Sums over all tensors."""
        sums = {
            item.name: sum(getattr(entry, item.name) for entry in self.tensors.values())
            for item in fields(TensorAgreement)
            if item.name not in {"tensor", "farthest"}
        }
        farthest = max((entry.farthest for entry in self.tensors.values()), default=0.0)
        return TensorAgreement("total", **sums, farthest=farthest)

    def require_explained(self) -> None:
        """Raise unless every difference has its reason.

        Raises:
            MismatchError: Names the tensors that do not.
        """
        bad = [entry for entry in self.tensors.values() if entry.unexplained]
        if bad:
            listed = ", ".join(f"'{entry.tensor}' ({entry.unexplained})" for entry in bad)
            raise MismatchError(
                f"onnxruntime and the judge differ beyond rounding ties in {listed}",
                hint="the file does not say what the graph computes: write it again",
            )


def compare(graph: QuantizedGraph, model: onnx.ModelProto | Path | str,
            inputs: Mapping[str, npt.NDArray[np.float32]],
            names: Mapping[str, str] | None = None) -> Agreement:  # fmt: skip
    """Run a QDQ model and its integer graph on the same real inputs and compare all codes.

    Args:
        graph: The integer graph.
        model: The QDQ model or its file, of the inputs' batch size.
        inputs: Real inputs by name.
        names: Tensor of the graph → its tensor of codes in the model; unset: as written here.

    Raises:
        MismatchError: Engine and judge differ, which must not happen.
        MissingExtraError: onnxruntime is not installed.
    """
    if not isinstance(model, onnx.ModelProto):
        model = load_qdq(model)
    wanted = _watched(graph) if names is None else names
    found = codes_of(model, inputs, wanted)
    rounding = Rounding(graph.metadata["input_rounding"])
    codes = {n: quantize(inputs[n], graph.tensors[n].format, rounding) for n in graph.inputs}
    judged = reference.run(graph, codes).tensors
    _check_engine(graph, codes, judged)
    agreed = {
        name: _input_agreement(graph, name, inputs[name], codes[name], found[name])
        for name in graph.inputs
    }
    for node in graph.nodes:
        for entry in _node_agreements(graph, node, judged, found):
            agreed[entry.tensor] = entry
    return Agreement(frozen_mapping(agreed),
                     frozen_mapping({name: found[name] for name in graph.outputs}))  # fmt: skip


def _watched(graph: QuantizedGraph) -> dict[str, str]:
    indices = {node.output for node in graph.nodes if node.op is Op.ARGMAX}
    made = (*graph.inputs, *(name for node in graph.nodes for name in node.outputs))
    return {name: name if name in indices else quantized_name(name) for name in made}


def _check_engine(graph: QuantizedGraph, codes: Mapping[str, IntArray],
                  judged: Mapping[str, IntArray]) -> None:  # fmt: skip
    run = Engine(graph).run(codes, keep="all").tensors
    for name, values in judged.items():
        if not np.array_equal(values, run[name]):
            raise MismatchError(f"engine and judge differ in tensor '{name}'",
                                hint="please report this network")  # fmt: skip


def _input_agreement(graph: QuantizedGraph, name: str, real: npt.NDArray[np.float32],
                     ours: IntArray, theirs: IntArray) -> TensorAgreement:  # fmt: skip
    fmt = graph.tensors[name].format
    ideal = np.asarray(real, np.float64) / fmt.scale.values()[0] + fmt.zero_point[0]
    noise = 0.0 if fmt.scale.is_power_of_two else 2 * ROUNDOFF
    return _classified(name, Expected(ideal, ideal, noise * np.abs(ideal)), ours, ours, theirs)


def _node_agreements(graph: QuantizedGraph, node: QuantizedNode, judged: Mapping[str, IntArray],
                     found: Mapping[str, IntArray]) -> list[TensorAgreement]:  # fmt: skip
    local = reference.run_node(graph, node, found, dict(graph.states))
    wanted = expected(graph, node, found)
    return [
        _classified(name, wanted, alone, judged[name], found[name].reshape(judged[name].shape))
        for name, alone in zip(node.outputs, local, strict=True)
    ]


def _classified(name: str, wanted: Expected | None, local: IntArray, judged: IntArray,
                found: IntArray) -> TensorAgreement:  # fmt: skip
    """Return the counts of one tensor; `local` is the judge fed with onnxruntime's integers."""
    differs = local != found
    differing = judged != found
    inherited = int((differing & ~differs).sum())
    count, total = found.size, int(differing.sum())
    if not differs.any():
        return TensorAgreement(name, count, differing=total, inherited=inherited)
    if wanted is None:
        return TensorAgreement(name, count, unexplained=int(differs.sum()), differing=total,
                               inherited=inherited)  # fmt: skip
    half = (np.minimum(local, found) + 0.5)[differs]
    ideal, device, noise = (
        np.broadcast_to(value, found.shape)[differs]
        for value in (wanted.ideal, wanted.device, wanted.noise)
    )
    one = (np.abs(local - found)[differs] == 1) & _between(half, ideal, device, noise)
    # Factors of few bits may be more than a step apart; then each side must round its own result.
    apart = np.abs(ideal - device) > TIE
    several = apart & (np.abs(found[differs] - ideal) <= 0.5 + noise)
    several &= np.abs(local[differs] - device) <= 0.5
    explained = one | several
    exact = one & (ideal == half) & (device == half)
    coarse = explained & apart
    near = explained & ~exact & ~coarse
    return TensorAgreement(
        name, count, int(exact.sum()), int(near.sum()), int(coarse.sum()),
        int((~explained).sum()), total, inherited,
        float(np.abs(ideal - half)[exact | near].max(initial=0.0)),
    )  # fmt: skip


def _between(half: FloatArray, ideal: FloatArray, device: FloatArray,
             noise: FloatArray) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Return where a half lies between two results, float32's error around the first counted."""
    low, high = np.minimum(ideal - noise, device), np.maximum(ideal + noise, device)
    return np.asarray((low <= half) & (half <= high))
