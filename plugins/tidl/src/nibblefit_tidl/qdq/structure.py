"""A QDQ model as facts that linter and reader share: constants, producers, readers, pairs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from nibblefit.errors import InputError

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
PAIR = (QUANTIZE, DEQUANTIZE)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Scale, zero point and axis of a QuantizeLinear or DequantizeLinear.

    Attributes:
        scale: float32, a scalar or one per channel; None if it is no constant.
        zero: Of the codes' type; None if it is left out or no constant.
        axis: The axis attribute.
    """

    scale: npt.NDArray[Any] | None
    zero: npt.NDArray[Any] | None
    axis: int

    @property
    def per_channel(self) -> bool:
        """Whether there is more than one scale."""
        return self.scale is not None and self.scale.size > 1


@dataclass(frozen=True)
class Structure:
    """A loaded model and what follows from it.

    Attributes:
        model: The model.
        nodes: Its nodes but constants.
        constants: Initializers and values of Constant nodes, by name.
    """

    model: onnx.ModelProto
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, npt.NDArray[Any]] = field(repr=False)

    @cached_property
    def producers(self) -> dict[str, onnx.NodeProto]:
        """Tensor → node that makes it."""
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """Tensor → nodes that read it."""
        found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found[name].append(node)
        return found

    @cached_property
    def inputs(self) -> tuple[onnx.ValueInfoProto, ...]:
        """Inputs that are no constants."""
        return tuple(v for v in self.model.graph.input if v.name not in self.constants)

    @property
    def opset(self) -> int:
        """Version of the standard operators, 0 if none is declared."""
        found = [o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")]
        return max(found, default=0)

    def parameters(self, node: onnx.NodeProto) -> Parameters:
        """Return the parameters of a QuantizeLinear or DequantizeLinear."""
        scale = self.constants.get(node.input[1]) if len(node.input) > 1 else None
        zero = self.constants.get(node.input[2]) if len(node.input) > 2 else None
        return Parameters(scale, zero, int(attribute(node, "axis", 1)))

    def dequantized_constant(self, name: str) -> onnx.NodeProto | None:
        """Return the DequantizeLinear of a constant that makes a tensor, if one does."""
        node = self.producers.get(name)
        if node is not None and node.op_type == DEQUANTIZE and node.input[0] in self.constants:
            return node
        return None

    def is_constant(self, name: str) -> bool:
        """Return whether a tensor is a constant, quantized or not."""
        if name in self.constants:
            return True
        node = self.producers.get(name)
        return node is not None and node.op_type in PAIR and self.is_constant(node.input[0])


def structure_of(model: onnx.ModelProto) -> Structure:
    """Return the facts of a model.

    Raises:
        InputError: A constant cannot be read.
    """
    constants: dict[str, npt.NDArray[Any]] = {}
    nodes = []
    try:
        for tensor in model.graph.initializer:
            constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in model.graph.node:
            value = attribute(node, "value", None) if node.op_type == "Constant" else None
            if value is None:
                nodes.append(node)
            else:
                constants[node.output[0]] = numpy_helper.to_array(value)
    except (ValueError, TypeError, OSError) as problem:
        raise InputError(
            f"a constant of the model cannot be read: {problem}",
            hint="copy the file again, with its external data",
        ) from problem
    return Structure(model, tuple(nodes), constants)


def load_qdq(path: Path | str) -> onnx.ModelProto:
    """Return the model of a file without data-convert layers at its ends; see `load_model`."""
    from nibblefit_tidl.front.convert import without_converters

    return without_converters(load_model(path))


def load_model(path: Path | str) -> onnx.ModelProto:
    """Return a model with its external data.

    Raises:
        InputError: The file is missing or no ONNX model.
    """
    try:
        model = onnx.load(str(path))
    except (OSError, DecodeError, ValueError) as problem:
        raise InputError(
            f"{path} is no ONNX model that can be read: {_line(problem)}",
            hint="copy it again, or export the network again",
        ) from problem
    if not model.graph.node:
        raise InputError(f"{path} holds no network", hint="export the network again")
    return model


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute's value."""
    found = next((entry for entry in node.attribute if entry.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def place_of(node: onnx.NodeProto) -> str:
    """Return how messages call a node."""
    return node.name or (node.output[0] if node.output else node.op_type)


def is_power_of_two(scale: npt.NDArray[Any]) -> bool:
    """Return whether all scales are powers of two."""
    return bool(np.all(np.frexp(np.asarray(scale, np.float64))[0] == 0.5))


def _line(problem: Exception) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
