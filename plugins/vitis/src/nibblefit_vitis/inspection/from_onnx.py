"""From any ONNX file to the layers that rules see, whatever operators it holds.

Nothing is executed and nothing is refused: operators that nobody knows stay layers without facts,
shapes that cannot be inferred stay unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from nibblefit.errors import InputError, unreadable
from nibblefit_vitis.inspection.layer import Layer, Network, Shape, Sort
from nibblefit_vitis.inspection.onnx_facts import FACTS, SORTS, Site
from nibblefit_vitis.inspection.onnx_shapes import Full, Known, output_shapes
from nibblefit_vitis.inspection.recognizing import with_hard_sigmoids

_STANDARD = ("", "ai.onnx")
#: Operators that keep shape and, nearly, the values of a constant.
_KEEPING = frozenset({"Identity", "Cast", "QuantizeLinear", "DequantizeLinear"})
#: What attributes that contradict each other raise; such a layer stays one without facts.
MALFORMED = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)


def read_network(path: Path, input_shape: tuple[int, ...] = ()) -> Network:
    """Return the network in an ONNX file.

    Args:
        path: The file.
        input_shape: Of its one input, without batch axis, for what the file leaves open.

    Raises:
        InputError: The file cannot be read, is no ONNX file, or states another shape.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (DecodeError, RecursionError) as error:
        raise InputError(f"{path} is not an ONNX file or is damaged",
                         hint="copy it again, or export the network again") from error  # fmt: skip
    if not model.graph.node:
        raise InputError(f"{path} holds no network", hint="export the network again")
    if input_shape:
        _enter_input_shape(model.graph, input_shape, path)
    return network_of_model(model, path.stem)


def _enter_input_shape(graph: onnx.GraphProto, given: tuple[int, ...], path: Path) -> None:
    """Write the given shape into the file's one input."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise InputError(f"{path} has {len(inputs)} inputs; --input-shape is that of one",
                         hint="leave --input-shape out")  # fmt: skip
    stated = _dimensions(inputs[0])
    fits = stated is None or (
        len(stated) == len(given) + 1
        and all(size in (None, wanted) for size, wanted in zip(stated[1:], given))
    )
    if not fits:
        raise InputError(
            f"input '{inputs[0].name}' of {path} has shape {stated} with batch axis; --input-shape "
            f"is {given}", hint="leave --input-shape out, or make it agree with the file",
        )  # fmt: skip
    batch = stated[0] if stated else None
    shape = inputs[0].type.tensor_type.shape
    del shape.dim[:]
    for size in (batch, *given):
        dimension = shape.dim.add()
        if size is not None:
            dimension.dim_value = size


def network_of_model(model: onnx.ModelProto, name: str) -> Network:
    """Return an ONNX model as layers; its functions stay operators of their own."""
    graph = model.graph
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    shapes = {value.name: _dimensions(value)
              for value in (*graph.input, *graph.value_info, *graph.output)}  # fmt: skip
    inputs = {value.name: _without_batch(shapes[value.name]) for value in graph.input
              if value.name not in constants}  # fmt: skip
    layers: list[Layer] = []
    used: set[str] = set()
    for node in graph.node:
        if _is_constant(node, constants):
            _enter_constant(node, constants)
            continue
        _enter_shapes(node, constants, shapes)
        layers.append(_layer(node, constants, shapes, used))
    outputs = tuple(value.name for value in graph.output)
    return with_hard_sigmoids(
        Network(name, MappingProxyType(inputs), outputs, tuple(layers), _notes(layers))
    )


def _notes(layers: Sequence[Layer]) -> tuple[str, ...]:
    unknown = [layer.name for layer in layers if layer.shape is None]
    if not unknown:
        return ()
    count = f"{len(unknown)} layer{'s' * (len(unknown) > 1)}"
    where = f"the shape of {count} is not known, first {unknown[0]}"
    return (f"{where}: rules about sizes are not applied there",)


def _enter_shapes(
    node: onnx.NodeProto, constants: Mapping[str, Any], shapes: dict[str, Full | None]
) -> None:
    """Add the shapes of a node's outputs; what the file itself states in full stays."""
    values = tuple(constants.get(name) if name else None for name in node.input)
    known = Known(
        tuple(shapes.get(name) if value is None else tuple(value.shape)
              for name, value in zip(node.input, values)),
        values, _attributes(node), len(node.output),
    )  # fmt: skip
    word = node.op_type if node.domain in _STANDARD else ""
    for name, shape in zip(node.output, output_shapes(word, known)):
        stated = shapes.get(name)
        if stated is None or (shape is not None and None in stated[1:]):
            shapes[name] = shape


def _array(tensor: onnx.TensorProto) -> npt.NDArray[Any] | None:
    """Return a tensor's values; None where they lie in another file or are damaged."""
    try:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            return np.broadcast_to(np.zeros(()), tuple(tensor.dims))
        return numpy_helper.to_array(tensor)
    except (*MALFORMED, RuntimeError):
        return None


def _dimensions(value: onnx.ValueInfoProto) -> Full | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)


def _without_batch(shape: Full | None) -> Shape:
    if shape is None or any(size is None for size in shape[1:]):
        return None
    return tuple(int(size or 0) for size in shape[1:])


def _is_constant(node: onnx.NodeProto, constants: Mapping[str, Any]) -> bool:
    """Return whether nothing in a node depends on values of the network's input."""
    sizes = node.op_type in ("Shape", "Size") and node.domain in _STANDARD
    return sizes or all(not name or name in constants for name in node.input)


def _enter_constant(node: onnx.NodeProto, constants: dict[str, Any]) -> None:
    """Keep the value of a constant, also through rounding; of others only that they are one."""
    found = constants.get(node.input[0]) if node.input and node.op_type in _KEEPING else None
    for attribute in node.attribute:
        if node.op_type == "Constant" and attribute.name == "value":
            found = _array(attribute.t)
    constants.update(dict.fromkeys(node.output, found))


def _layer(
    node: onnx.NodeProto, constants: Mapping[str, Any],
    shapes: Mapping[str, Full | None], used: set[str],
) -> Layer:  # fmt: skip
    inputs = tuple(name for name in node.input if name and name not in constants)
    known = node.domain in _STANDARD
    outputs = tuple(name for name in node.output if name)
    full = [shapes.get(name) for name in inputs]
    output = shapes.get(outputs[0]) if outputs else None
    site = Site(node, constants, tuple(_without_batch(s) for s in full), _without_batch(output),
                _attributes(node))  # fmt: skip
    sort = SORTS.get(node.op_type, Sort.UNKNOWN) if known else Sort.UNKNOWN
    facts: dict[str, Any] = {}
    if known and node.op_type in FACTS:
        try:
            facts = FACTS[node.op_type](site)
        except MALFORMED:
            sort = Sort.UNKNOWN
        sort = facts.pop("sort", sort)
    batches = [shape[0] for shape in (*full[:1], output) if shape]
    if sort is Sort.RESHAPE and len(batches) == 2 and None not in batches:
        facts["batch_changes"] = batches[0] != batches[1]
    word = node.op_type if known else f"{node.domain}.{node.op_type}"
    return Layer(_name(node, used), sort, word, inputs, outputs, site.input_shapes, site.shape,
                 MappingProxyType(facts))  # fmt: skip


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        try:
            found[attribute.name] = helper.get_attribute_value(attribute)
        except (ValueError, TypeError):
            continue
    return found


def _name(node: onnx.NodeProto, used: set[str]) -> str:
    """Return a unique name: the node's, else that of its output or operator."""
    wanted = node.name or next(iter(node.output), "") or node.op_type
    name, use = wanted, 1
    while name in used:
        use += 1
        name = f"{wanted}@{use}"
    used.add(name)
    return name
