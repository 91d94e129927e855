"""`read_formats`: the roundings of a QDQ file, by the original or ours, as formats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper

from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats, TensorFormat


def read_formats(source: Path | str | onnx.ModelProto) -> NetworkFormats:
    """Return the format that every QuantizeLinear of a file gives.

    Parameters are named by their initializer, other tensors by what QuantizeLinear reads. Scales
    that are powers of two become fix positions.

    Raises:
        InputError: The file cannot be read, rounds by a custom operator, or by scales that are
            computed.
    """
    model = source if isinstance(source, onnx.ModelProto) else _loaded(source)
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            attribute = node.attribute[0]
            constants[node.output[0]] = np.asarray(
                numpy_helper.to_array(attribute.t) if attribute.HasField("t")
                else onnx.helper.get_attribute_value(attribute)
            )  # fmt: skip
    params: dict[str, TensorFormat | None] = {}
    outputs: dict[str, TensorFormat | None] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            block = params if node.input[0] in constants else outputs
            block[node.input[0]] = _format(node, constants)
    return NetworkFormats(frozen_mapping(params), frozen_mapping(outputs))


def _loaded(path: Path | str) -> onnx.ModelProto:
    try:
        return onnx.load(str(path))
    except (OSError, DecodeError) as problem:
        raise InputError(f"{path} cannot be read as ONNX: {problem}",
                         hint="give the exported .onnx file") from problem  # fmt: skip


def _format(node: onnx.NodeProto, constants: dict[str, Any]) -> TensorFormat:
    where = f"QuantizeLinear '{node.name}'"
    if node.domain not in ("", "ai.onnx"):
        raise InputError(f"{where} is a custom operator of domain '{node.domain}'",
                         hint="export with native QuantizeLinear")  # fmt: skip
    if any(name not in constants for name in node.input[1:]):
        raise InputError(f"{where} computes its scale", hint="export with constant scales")
    scales = np.asarray(constants[node.input[1]], np.float64).reshape(-1)
    zeros = (np.asarray(constants[node.input[2]]) if len(node.input) > 2
             else np.zeros(scales.shape, np.uint8))  # fmt: skip
    bits, unsigned = 8 * zeros.dtype.itemsize, zeros.dtype.kind == "u"
    axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
    channels = axis if scales.size > 1 else None
    if not scales.size or not (np.isfinite(scales).all() and (scales > 0).all()):
        raise InputError(f"{where} has scale {scales}", hint="scales are numbers above 0")
    mantissas, exponents = np.frexp(scales)
    if (mantissas == 0.5).all() and not zeros.any():
        positions = tuple(1 - int(exponent) for exponent in exponents)
        if channels is None:
            return FixPosition(bits, positions[0], unsigned=unsigned)
        return FixPosition(bits, min(positions), positions, channels, unsigned)
    highest = (1 << bits - int(not unsigned)) - 1
    return FloatScale(
        bits, tuple(scales.tolist()), tuple(int(z) for z in zeros.reshape(-1)),
        tuple(math.fabs(scale) * highest for scale in scales), channels, unsigned,
    )  # fmt: skip
