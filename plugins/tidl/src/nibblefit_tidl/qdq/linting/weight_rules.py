"""Rules about weights and biases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from nibblefit_tidl.qdq.linting.problem import Problem, Subject, error, warning
from nibblefit_tidl.qdq.structure import (
    DEQUANTIZE,
    QUANTIZE,
    Parameters,
    Structure,
    attribute,
    place_of,
)

#: Layers with weights and bias behind the first input.
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm"}
#: Two roundings to float32: of the product, and of scales that an exporter kept in float64.
_SCALE_TOLERANCE = 2.0**-22


def quantizers(subject: Subject) -> Iterator[Problem]:
    """Weights are integers in the file, not quantized while it runs."""
    structure = subject.structure
    for node in structure.nodes:
        if node.op_type == QUANTIZE and structure.is_constant(node.input[0]):
            yield error(
                "weights.quantizer",
                place_of(node),
                f"QuantizeLinear stands on the constant '{node.input[0]}'",
                "store the integers, with DequantizeLinear alone",
            )


def weights(subject: Subject) -> Iterator[Problem]:
    """Weights are int8, symmetric, with scales along their output channels."""
    structure = subject.structure
    for node in _weighted(structure):
        pair = structure.dequantized_constant(node.input[1])
        if pair is None:
            if structure.is_constant(node.input[1]) and not _on_the_fly(structure, node.input[1]):
                yield error("weights.pair", place_of(node), "its weights are float",
                            "store them as int8 with DequantizeLinear")  # fmt: skip
            continue
        yield from _codes(structure, node, pair, subject)


def _codes(structure: Structure, node: onnx.NodeProto, pair: onnx.NodeProto,
           subject: Subject) -> Iterator[Problem]:  # fmt: skip
    codes, given, place = (
        structure.constants[pair.input[0]],
        structure.parameters(pair),
        place_of(node),
    )
    if codes.dtype != np.int8:
        yield error("weights.type", place, f"its weights are {codes.dtype}; expected int8",
                    "export weights as int8, symmetric")  # fmt: skip
    if given.zero is not None and np.any(given.zero):
        yield error("weights.zero", place, "its weights have zero points", "use symmetric weights")
    if given.scale is not None and not (
        np.all(given.scale > 0) and np.all(np.isfinite(given.scale))
    ):
        yield error("weights.scale", place, "a weight scale is not a number above 0",
                    "calibrate again")  # fmt: skip
    if not given.per_channel or given.scale is None:
        return
    axis = _channel_axis(node)
    if given.axis != axis or given.scale.size != codes.shape[axis]:
        yield error("weights.axis", place, f"it has {given.scale.size} scales along axis "
                    f"{given.axis}; expected {codes.shape[axis]} along axis {axis}",
                    "quantize weights per output channel")  # fmt: skip
    chip = subject.device
    if chip is not None and not chip.per_channel:
        yield error("device.per_channel", place, f"it has one scale per channel; the matrix "
                    f"accelerator of {chip.name} (version {chip.mma}) has one per layer",
                    "export with a per-tensor configuration such as WT8SYMP2_AT8SYMP2")  # fmt: skip


def biases(subject: Subject) -> Iterator[Problem]:
    """Biases are int32 in the accumulator's scale."""
    structure = subject.structure
    for node in _weighted(structure):
        if len(node.input) < 3 or not node.input[2]:
            continue
        pair, place = structure.dequantized_constant(node.input[2]), place_of(node)
        if pair is None:
            yield warning("bias.pair", place, "its bias has no DequantizeLinear: such models are "
                          "fragile", "store it as int32 with scale input · weights; the vendor's "
                          "rewrite is add_bias_qdq")  # fmt: skip
            continue
        if structure.constants[pair.input[0]].dtype != np.int32:
            kind = structure.constants[pair.input[0]].dtype
            yield error("bias.type", place, f"its bias is {kind}; expected int32",
                        "store it as int32")  # fmt: skip
        yield from _bias_scale(structure, node, structure.parameters(pair))


def _bias_scale(structure: Structure, node: onnx.NodeProto,
                given: Parameters) -> Iterator[Problem]:  # fmt: skip
    x = structure.producers.get(node.input[0])
    pair = structure.dequantized_constant(node.input[1])
    if x is None or x.op_type != DEQUANTIZE or pair is None or given.scale is None:
        return
    one, other = structure.parameters(x).scale, structure.parameters(pair).scale
    if one is None or other is None:
        return
    wanted = np.asarray(one, np.float64) * np.asarray(other, np.float64)
    fits = given.scale.size in (1, wanted.size) and np.allclose(
        given.scale.reshape(-1), wanted.reshape(-1), rtol=_SCALE_TOLERANCE, atol=0.0
    )
    if not fits:
        yield error("bias.scale", place_of(node), "its bias scale is not input scale times weight "
                    "scale", "quantize the bias in the accumulator's scale")  # fmt: skip


def _weighted(structure: Structure) -> list[onnx.NodeProto]:
    return [node for node in structure.nodes if node.op_type in _WEIGHTED]


def _on_the_fly(structure: Structure, name: str) -> bool:
    """Return whether a constant is quantized while the model runs, which has a rule of its own."""
    node = structure.producers.get(name)
    return node is not None and node.op_type == DEQUANTIZE


def _channel_axis(node: onnx.NodeProto) -> int:
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return 1 if node.op_type == "ConvTranspose" else 0


RULES = (quantizers, weights, biases)
