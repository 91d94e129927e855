"""Compares a QDQ model in onnxruntime with the judge, and explains every differing integer.

Every layer is looked at twice. *Locally*, with the integers that onnxruntime fed it: there judge
and onnxruntime may differ only where a half lies between what both compute before rounding.
*Globally*, both from the same input: there a difference may also be inherited from a layer before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit.ir import reference
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.quantization.qdq.agreement import Agreement, TensorAgreement, judged_codes
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit_tidl.qdq.expected import ROUNDOFF, Expected
from nibblefit_tidl.qdq.formulas import expected
from nibblefit_tidl.qdq.naming import quantized_name
from nibblefit_tidl.qdq.structure import load_qdq

#: Results this close to one another, in output steps, that round apart are called a tie: larger
#: distances come from factors that the device keeps in few bits.
TIE = 2.0**-10


@dataclass(frozen=True, slots=True)
class ReasonsOfTensor(TensorAgreement):
    """How the integers of one tensor agree.

    Attributes:
        exact_ties: Local differences where the real result lies exactly between two codes: the
            device rounds it up, ONNX to even.
        near_ties: Local differences where float32 and the device's multipliers, which differ by
            less than `TIE` of a step, fall on different sides of a half.
        factors: Local differences because the device computes with a factor of few bits (averages
            and sums of symmetric modes), each side's result being its own, correctly rounded.
    """

    exact_ties: int = 0
    near_ties: int = 0
    factors: int = 0


def compare(graph: QuantizedGraph, model: onnx.ModelProto | Path | str,
            inputs: Mapping[str, npt.NDArray[np.float32]],
            names: Mapping[str, str] | None = None) -> Agreement[ReasonsOfTensor]:  # fmt: skip
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
    values = run_onnx(model, inputs, tuple(wanted.values()))
    found = {name: values[source].astype(np.int64) for name, source in wanted.items()}
    judged = judged_codes(graph, inputs)
    agreed = {
        name: _input_agreement(graph, name, inputs[name], judged[name], found[name])
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


def _input_agreement(graph: QuantizedGraph, name: str, real: npt.NDArray[np.float32],
                     ours: IntArray, theirs: IntArray) -> ReasonsOfTensor:  # fmt: skip
    fmt = graph.tensors[name].format
    ideal = np.asarray(real, np.float64) / fmt.scale.values()[0] + fmt.zero_point[0]
    noise = 0.0 if fmt.scale.is_power_of_two else 2 * ROUNDOFF
    return _classified(name, Expected(ideal, ideal, noise * np.abs(ideal)), ours, ours, theirs)


def _node_agreements(graph: QuantizedGraph, node: QuantizedNode, judged: Mapping[str, IntArray],
                     found: Mapping[str, IntArray]) -> list[ReasonsOfTensor]:  # fmt: skip
    local = reference.run_node(graph, node, found, dict(graph.states))
    wanted = expected(graph, node, found)
    return [
        _classified(name, wanted, alone, judged[name], found[name].reshape(judged[name].shape))
        for name, alone in zip(node.outputs, local, strict=True)
    ]


def _classified(name: str, wanted: Expected | None, local: IntArray, judged: IntArray,
                found: IntArray) -> ReasonsOfTensor:  # fmt: skip
    """Return the counts of one tensor; `local` is the judge fed with onnxruntime's integers."""
    differs = local != found
    differing = judged != found
    inherited = int((differing & ~differs).sum())
    count, total = found.size, int(differing.sum())
    if not differs.any():
        return ReasonsOfTensor(name, count, total, inherited)
    if wanted is None:
        return ReasonsOfTensor(name, count, total, inherited, int(differs.sum()))
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
    return ReasonsOfTensor(
        name, count, total, inherited, int((~explained).sum()),
        float(np.abs(ideal - half)[exact | near].max(initial=0.0)),
        int(exact.sum()), int(near.sum()), int(coarse.sum()),
    )  # fmt: skip


def _between(half: FloatArray, ideal: FloatArray, device: FloatArray,
             noise: FloatArray) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Return where a half lies between two results, float32's error around the first counted."""
    low, high = np.minimum(ideal - noise, device), np.maximum(ideal + noise, device)
    return np.asarray((low <= half) & (half <= high))
