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

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.ir import reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.qdq.agreement import Agreement, TensorAgreement, judged_codes
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit_tao.writing.exact import Exact, exact_results


@dataclass(frozen=True, slots=True)
class TiesOfTensor(TensorAgreement):
    """How the integers of one tensor agree.

    Attributes:
        ties: Integers that differ by one from the judge's on the same integers in, because a half
            lies between the results of both.
    """

    ties: int = 0


def compare(graph: QuantizedGraph, model: onnx.ModelProto,
            inputs: Mapping[str, npt.NDArray[np.float32]]) -> Agreement[TiesOfTensor]:  # fmt: skip
    """Run a QDQ model and its integer graph on the same real inputs and compare all codes.

    Raises:
        MismatchError: Engine and judge differ, which must not happen.
        MissingExtraError: onnxruntime is not installed.
    """
    judged = judged_codes(graph, inputs)
    found = _runtime_codes(graph, model, inputs)
    wanted = exact_results(graph, found, inputs)
    agreed = {
        name: _classified(name, wanted[name], judged[name], judged[name], found[name])
        for name in graph.inputs
    }
    tensors = {name: found[name] for name in graph.inputs}
    for node in graph.nodes:
        local = reference.run_node(graph, node, tensors, dict(graph.states))
        for name, alone in zip(node.outputs, local, strict=True):
            tensors[name] = found.get(name, alone)
            if name in found:
                agreed[name] = _classified(name, wanted[name], alone, judged[name], found[name])
    return Agreement(frozen_mapping(agreed),
                     frozen_mapping({name: tensors[name] for name in graph.outputs}))  # fmt: skip


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


def _classified(name: str, wanted: Exact, local: IntArray, judged: IntArray,
                found: IntArray) -> TiesOfTensor:  # fmt: skip
    """Return the counts of one tensor; `local` is the judge fed with onnxruntime's integers."""
    found = found.reshape(judged.shape)
    differs, differing = local != found, judged != found
    inherited, count = int((differing & ~differs).sum()), found.size
    half: FloatArray = (np.minimum(local, found) + 0.5)[differs]
    apart = np.abs(np.broadcast_to(wanted.steps, found.shape)[differs] - half)
    slack = np.broadcast_to(wanted.slack, found.shape)[differs]
    ties = (np.abs(local - found)[differs] == 1) & (apart <= slack)
    return TiesOfTensor(
        name, count, int(differing.sum()), inherited, int((~ties).sum()),
        float(apart[ties].max(initial=0.0)), int(ties.sum()),
    )  # fmt: skip
