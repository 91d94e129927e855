"""Data-convert layers: pixels in and indices out as nodes at the edges of an ONNX model.

The rewrite is TI's: uint8 input ``<name>Net_IN`` → Cast → Add(−mean) → Mul(scale) → the old input,
and a Cast to uint8 behind a final ArgMax. With add_data_convert_ops 1 or 3 the tools run these
nodes on the accelerator. Source: edgeai-tidl-tools 11_00_06_00, model preparation.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from nibblefit.errors import InputError, UnsupportedError
from nibblefit_tidl.front.preprocessing import Preprocessing

#: What TI appends to the name of the input.
SUFFIX = "Net_IN"
_CONVERTING = frozenset({"Cast", "Add", "Mul"})
#: Most classes whose indices fit uint8.
_INDICES = 256


def with_converters(model: onnx.ModelProto, given: Preprocessing, *,
                    output: bool = True) -> onnx.ModelProto:  # fmt: skip
    """Return a model that takes uint8 pixels and, behind an ArgMax, returns uint8 indices.

    Args:
        model: A float or QDQ model with one float input (batch, channels, *spatial).
        given: Mean and scale.
        output: Convert the output too.

    Raises:
        InputError: The model takes integers already.
        UnsupportedError: It has several inputs, or other channels than mean and scale.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    value = _input(graph, given)
    shape = [dim.dim_value or dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
    old, new = value.name, f"{value.name}{SUFFIX}"
    front = _front(graph, new, old, given, len(shape))
    index = list(graph.input).index(value)
    del graph.input[index]
    graph.input.insert(index, helper.make_tensor_value_info(new, TensorProto.UINT8, shape))
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front, *rest])
    if output:
        _convert_output(graph)
    inferred = shape_inference.infer_shapes(found, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred)
    return inferred


def without_converters(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model between its converters, with float inputs; any other model as it is."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8 and value.name.endswith(SUFFIX):
            _restore_input(graph, value)
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            _restore_output(graph, value)
    return found


def _restore_input(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
    """Take out the chain from a pixel input to the old one: Cast, and Add and Mul by constants."""
    old, name = value.name.removesuffix(SUFFIX), value.name
    constants = {tensor.name: tensor for tensor in graph.initializer}
    chain: list[onnx.NodeProto] = []
    while name != old:
        readers = [node for node in graph.node if name in node.input]
        if len(readers) != 1 or readers[0].op_type not in _CONVERTING:
            return
        if any(given != name and given not in constants for given in readers[0].input):
            return
        chain.append(readers[0])
        name = readers[0].output[0]
    for node in chain:
        graph.node.remove(node)
    read = {given for node in graph.node for given in node.input}
    for given in {given for node in chain for given in node.input} - read:
        if given in constants:
            graph.initializer.remove(constants[given])
    made = {output for node in chain for output in node.output}
    for inner in [found for found in graph.value_info if found.name in made]:
        graph.value_info.remove(inner)
    value.name = old
    value.type.tensor_type.elem_type = TensorProto.FLOAT


def _restore_output(graph: onnx.GraphProto, value: onnx.ValueInfoProto) -> None:
    casts = [node for node in graph.node if node.name == f"{value.name}_cast"]
    for cast in casts:
        makers = [node for node in graph.node if cast.input[0] in node.output]
        if len(makers) == 1 and makers[0].op_type == "ArgMax":
            makers[0].output[0] = value.name
            graph.node.remove(cast)
            value.type.tensor_type.elem_type = TensorProto.INT64


def _front(graph: onnx.GraphProto, new: str, old: str, given: Preprocessing,
           rank: int) -> list[onnx.NodeProto]:  # fmt: skip
    """Return the nodes from pixels to the old input; of plain pixels a Cast is enough."""
    real = old if given.is_identity else f"{new}_float"
    nodes = [helper.make_node("Cast", [new], [real], name=f"{new}_cast", to=TensorProto.FLOAT)]
    if given.is_identity:
        return nodes
    for part, numbers in (("mean", -np.array(given.mean)), ("scale", np.array(given.scale))):
        column = numbers.astype(np.float32).reshape(1, -1, *(1,) * (rank - 2))
        graph.initializer.append(numpy_helper.from_array(column, f"{new}_{part}"))
    centred = f"{new}_centred"
    nodes.append(helper.make_node("Add", [real, f"{new}_mean"], [centred], name=f"{new}_add"))
    nodes.append(helper.make_node("Mul", [centred, f"{new}_scale"], [old], name=f"{new}_mul"))
    return nodes


def _input(graph: onnx.GraphProto, given: Preprocessing) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise UnsupportedError(
            f"the model has {len(inputs)} inputs; mean and scale belong to one",
            hint="normalize on the host",
        )
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        raise InputError(f"input '{inputs[0].name}' is not float32: it needs no conversion",
                         hint="use the model as it is")  # fmt: skip
    channels = kind.shape.dim[1].dim_value if len(kind.shape.dim) > 1 else 0
    if channels != given.channels:
        raise UnsupportedError(
            f"input '{inputs[0].name}' has {channels or 'unknown'} channels, mean and scale have "
            f"{given.channels}",
            hint="give one mean and one scale per channel, channels first",
        )
    found: onnx.ValueInfoProto = inputs[0]
    return found


def _convert_output(graph: onnx.GraphProto) -> None:
    """Put a Cast to uint8 behind every output that an ArgMax over few classes makes."""
    makers = {name: node for node in graph.node for name in node.output}
    shapes = {value.name: value for value in graph.value_info}
    for value in graph.output:
        maker = makers.get(value.name)
        if maker is None or maker.op_type != "ArgMax" or _classes(maker, shapes) > _INDICES:
            continue
        wide = f"{value.name}_int64"
        maker.output[0] = wide
        graph.node.append(helper.make_node("Cast", [wide], [value.name], to=TensorProto.UINT8,
                                           name=f"{value.name}_cast"))  # fmt: skip
        value.type.tensor_type.elem_type = TensorProto.UINT8


def _classes(maker: onnx.NodeProto, shapes: dict[str, onnx.ValueInfoProto]) -> int:
    """Return the length of the axis an ArgMax runs over, more than any uint8 where unknown."""
    axis = next((entry.i for entry in maker.attribute if entry.name == "axis"), 0)
    value = shapes.get(maker.input[0])
    dims = value.type.tensor_type.shape.dim if value is not None else ()
    if not dims or not -len(dims) <= axis < len(dims):
        return _INDICES + 1
    return int(dims[axis].dim_value) or _INDICES + 1
