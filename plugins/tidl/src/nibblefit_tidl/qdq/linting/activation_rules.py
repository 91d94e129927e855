"""Rules about the pairs on activations: types, parameters, lost bits, what a device lacks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit_tidl.qdq.linting.problem import Problem, Subject, error, note, warning
from nibblefit_tidl.qdq.structure import (
    DEQUANTIZE,
    QUANTIZE,
    Structure,
    attribute,
    is_power_of_two,
    place_of,
)

_BYTES = (np.uint8, np.int8)
#: Layers that write their input's codes.
_SAME = {"MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split",
         "DepthToSpace", "SpaceToDepth"}  # fmt: skip
_AVERAGES = {"GlobalAveragePool", "AveragePool"}
#: Layers that must not see unquantized activations.
_COMPUTING = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Sub", "Concat", *_SAME,
              *_AVERAGES}  # fmt: skip


def parameters(subject: Subject) -> Iterator[Problem]:
    """Activations have one scale and an 8-bit type, the same on both sides of a pair."""
    structure = subject.structure
    for node in _quantizers(structure):
        given, place = structure.parameters(node), place_of(node)
        if given.scale is None:
            yield error("activation.scale", place, "its scale is no constant", "fold constants")
            continue
        if given.per_channel:
            yield error("activation.scale", place, f"it has {given.scale.size} scales; expected "
                        "one", "activations are quantized per tensor")  # fmt: skip
        kind = np.dtype(np.uint8) if given.zero is None else given.zero.dtype
        if kind not in _BYTES:
            yield error("activation.type", place, f"its codes are {kind}; expected uint8 or int8",
                        "export activations with 8 bits")  # fmt: skip
        if not np.all(np.isfinite(given.scale)) or not np.all(given.scale > 0):
            yield error("activation.scale", place, "its scale is not a number above 0",
                        "calibrate again")  # fmt: skip
        yield from _partner(structure, node)


def _partner(structure: Structure, node: onnx.NodeProto) -> Iterator[Problem]:
    readers = structure.readers.get(node.output[0], [])
    if not any(reader.op_type == DEQUANTIZE for reader in readers):
        yield error("pair.missing", place_of(node), "no DequantizeLinear reads it",
                    "put DequantizeLinear behind every QuantizeLinear")  # fmt: skip
    own = structure.parameters(node)
    for reader in readers:
        if reader.op_type != DEQUANTIZE:
            continue
        other = structure.parameters(reader)
        same = np.array_equal(own.scale, other.scale) and _zero(own.zero) == _zero(other.zero)  # type: ignore[arg-type]
        if not same:
            yield error("pair.parameters", place_of(reader), f"its scale or zero point differs "
                        f"from that of '{place_of(node)}'", "give both the same")  # fmt: skip


def unquantized(subject: Subject) -> Iterator[Problem]:
    """Layers read dequantized tensors."""
    structure = subject.structure
    for node in structure.nodes:
        if node.op_type not in _COMPUTING:
            continue
        count = 2 if node.op_type in {"Conv", "ConvTranspose", "Gemm"} else len(node.input)
        count = 1 if node.op_type in {"Reshape", "Slice", "Split", "Squeeze"} else count
        for name in node.input[:count]:
            maker = structure.producers.get(name)
            if maker is not None and maker.op_type not in {DEQUANTIZE, QUANTIZE}:
                yield error("pair.missing", place_of(node), f"it reads '{name}' from "
                            f"'{place_of(maker)}' ({maker.op_type}) without a pair between them",
                            "put QuantizeLinear and DequantizeLinear there")  # fmt: skip


def lost_bits(subject: Subject) -> Iterator[Problem]:
    """Tensors that cannot be negative have their zero at the lowest code."""
    structure = subject.structure
    for node in _quantizers(structure):
        maker = structure.producers.get(node.input[0])
        if maker is None or not _is_nonnegative(structure, maker):
            continue
        given = structure.parameters(node)
        kind = np.dtype(np.uint8) if given.zero is None else given.zero.dtype
        if kind not in _BYTES:
            continue
        lowest, zero = int(np.iinfo(kind).min), _zero(given.zero)
        unused = zero - lowest
        if unused:
            yield warning(
                "relu.lost_bit", place_of(node),
                f"zero point is {zero} behind '{place_of(maker)}' ({maker.op_type}): "
                f"{unused} of 256 codes, {np.log2(256 / (256 - unused)):.1f} bits, are never used",
                f"use uint8 with zero point 0 and the scale times {(256 - unused) / 256:g}",
            )  # fmt: skip


def between(subject: Subject) -> Iterator[Problem]:
    """Nothing stands between a layer and its rectifier."""
    structure = subject.structure
    for node in structure.nodes:
        if node.op_type not in {"Relu", "Clip"}:
            continue
        pair = structure.producers.get(node.input[0])
        if pair is None or pair.op_type != DEQUANTIZE:
            continue
        if len(structure.readers[pair.output[0]]) > 1:
            continue  # somebody else needs the tensor before the rectifier
        quantizer = structure.producers.get(pair.input[0])
        maker = structure.producers.get(quantizer.input[0]) if quantizer is not None else None
        if maker is not None and maker.op_type in {"Conv", "ConvTranspose", "Gemm", "Add"}:
            yield error("relu.between", place_of(node), f"QuantizeLinear stands between "
                        f"'{place_of(maker)}' ({maker.op_type}) and it: the layers do not merge",
                        "quantize behind the rectifier only")  # fmt: skip


def kept_scales(subject: Subject) -> Iterator[Problem]:
    """Layers that only move codes re-use their input's scale."""
    structure = subject.structure
    for node in structure.nodes:
        if node.op_type not in _SAME | _AVERAGES:
            continue
        before = structure.producers.get(node.input[0])
        if before is None or before.op_type != DEQUANTIZE:
            continue
        own = structure.parameters(before)
        for reader in structure.readers.get(node.output[0], []):
            other = structure.parameters(reader)
            if reader.op_type != QUANTIZE or (
                np.array_equal(own.scale, other.scale) and _zero(own.zero) == _zero(other.zero)  # type: ignore[arg-type]
            ):
                continue
            message = (
                f"'{place_of(reader)}' behind it has another scale or zero point than its input"
            )
            remedy = "re-use the input's scale and zero point"
            make = note if node.op_type in _AVERAGES else error
            yield make("layer.scale", place_of(node), message, remedy)


def device(subject: Subject) -> Iterator[Problem]:
    """The device has zero points, if there are any, and its tools the scales."""
    chip = subject.device
    if chip is None or chip.asymmetric:
        return
    for node in _quantizers(subject.structure):
        given = subject.structure.parameters(node)
        if not is_symmetric(given.zero):
            yield error("device.asymmetric", place_of(node), f"zero point is {_zero(given.zero)}; "
                        f"{chip.name} has none", "export with a symmetric configuration such as "
                        "WT8SYMP2_AT8SYMP2")  # fmt: skip
        if given.scale is not None and not is_power_of_two(given.scale):
            yield warning("device.scale", place_of(node), "its scale is no power of two; "
                          f"prequantized models for {chip.name} have powers of two",
                          "export with a configuration of powers of two (SYMP2)")  # fmt: skip


def _quantizers(structure: Structure) -> list[onnx.NodeProto]:
    return [node for node in structure.nodes
            if node.op_type == QUANTIZE and not structure.is_constant(node.input[0])]  # fmt: skip


def is_symmetric(zero: npt.NDArray[Any] | None) -> bool:
    """Return whether a zero point is the middle of signed codes, or the lowest of unsigned ones.

    The vendor's symmetric configurations write signed tensors as uint8 with zero point 127 or 128.
    """
    if zero is None or zero.dtype not in _BYTES:
        return True
    return _zero(zero) in ({0} if zero.dtype == np.int8 else {0, 127, 128})


def _zero(zero: object) -> int:
    return 0 if zero is None else int(np.asarray(zero).reshape(-1)[0])


def _is_nonnegative(structure: Structure, node: onnx.NodeProto) -> bool:
    """Return whether a rectifier makes a tensor, perhaps through layers that move values."""
    if node.op_type in {"Relu", "Sigmoid", "Softmax", "HardSigmoid"}:
        return True
    if node.op_type == "Clip":
        low = structure.constants.get(node.input[1]) if len(node.input) > 1 else None
        low = attribute(node, "min", None) if low is None else low
        return low is not None and float(np.asarray(low)) >= 0
    return False


RULES = (parameters, unquantized, lost_bits, between, kept_scales, device)
