"""Reads QDQ ONNX that `writing` wrote back into an integer graph.

Independent of the writer: quantizers are taken out of the file one by one, what is left is
imported like any float ONNX file, and formats and codes decide the integers again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from nibblefit.errors import InputError, NibblefitError
from nibblefit.fixed.formats import Format, IntArray, Scale
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.nn.onnx_import.reading import read_model
from nibblefit.quantization.align import product_scale
from nibblefit.quantization.assign import AFFINE, Assignment, complete
from nibblefit.quantization.build import lower
from nibblefit.quantization.qdq.writing import WIDTHS_KEY
from nibblefit.quantization.units import units
from nibblefit.quantization.weights import Codes

_CONTAINERS: dict[int, tuple[int, bool]] = {
    TensorProto.INT8: (8, True),
    TensorProto.UINT8: (8, False),
    TensorProto.INT16: (16, True),
    TensorProto.UINT16: (16, False),
    TensorProto.INT32: (32, True),
}


@dataclass
class _Parts:
    """What the quantizers of a file say, and the float model without them."""

    widths: dict[str, int]
    is_power_of_two: bool
    tensors: dict[str, Format] = field(default_factory=dict)
    constants: dict[str, Codes] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a file's metadata says about its integers.

    Attributes:
        numerics: The arithmetic.
        is_power_of_two: All scales are powers of two.
    """

    numerics: Numerics
    is_power_of_two: bool


def read_qdq(
    path: Path, target: str, meaning_of: Callable[[Mapping[str, str]], Meaning]
) -> QuantizedGraph:
    """Return the integer graph that a file holds.

    Args:
        path: The file.
        target: Name of the target that wrote it.
        meaning_of: Reads the file's metadata; may raise ValueError or LookupError.

    Raises:
        InputError: The file is unreadable or was not written by this target.
    """
    try:
        model, _ = read_model(path)
        properties = {item.key: item.value for item in model.metadata_props}
        meaning = meaning_of(properties)
        widths = json.loads(properties[WIDTHS_KEY])
        parts = _taken_apart(model, widths, meaning.is_power_of_two)
        graph = _tidied(_float_graph(model, parts), parts)
        return _lowered(graph, parts, meaning, target)
    except (NibblefitError, LookupError, ValueError, TypeError, AttributeError) as problem:
        # Names, types and shapes in the file may be anything; the first that does not fit ends it.
        raise InputError(
            f"{path} is no file of the target {target}, or is damaged: {problem}",
            hint="compile again",
        ) from problem


def _taken_apart(model: onnx.ModelProto, widths: dict[str, int], whole: bool) -> _Parts:
    values = {item.name: item for item in model.graph.initializer}
    made = {output: node for node in model.graph.node for output in node.output}
    parts = _Parts(widths, whole)
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear":
            _dequantizer(node, values, made, parts)
        elif node.op_type != "QuantizeLinear" and not _is_limit(node, model):
            parts.nodes.append(node)
    for node in parts.nodes:
        node.input[:] = [_resolved(name, parts.aliases) for name in node.input]
        node.output[:] = [parts.aliases.get(name, name) for name in node.output]
    return parts


def _dequantizer(node: onnx.NodeProto, values: dict[str, onnx.TensorProto],
                 made: dict[str, onnx.NodeProto], parts: _Parts) -> None:  # fmt: skip
    source, scale, zero = node.input
    axis = next((a.i for a in node.attribute if a.name == "axis"), None)
    output = node.output[0]
    if source in values:  # a constant
        fmt = _format(output, values[scale], values[zero], axis, parts)
        codes = numpy_helper.to_array(values[source]).astype(np.int64)
        codes.flags.writeable = False
        parts.constants[output] = Codes(codes, fmt)
        return
    quantizer = made[source]
    origin = quantizer.input[0]
    if origin in values:  # a constant of real numbers behind a quantizer
        fmt = _format(output, values[scale], values[zero], axis, parts)
        parts.constants[output] = Codes(_coded(numpy_helper.to_array(values[origin]), fmt), fmt)
        return
    if origin in made and _limits(made[origin]):
        origin = made[origin].input[0]
    # Behind an operator the tensor's name is on the real side; behind an input, on the file's.
    name = output if origin in made else origin
    parts.aliases[output if name == origin else origin] = name
    parts.tensors[name] = _format(name, values[scale], values[zero], axis, parts)


def _coded(real: npt.NDArray[np.generic], fmt: Format) -> IntArray:
    """Return what QuantizeLinear makes of real numbers: ties to even, clipped."""
    steps = fmt.scale.values()
    if fmt.axis is not None:
        steps = steps.reshape([-1 if axis == fmt.axis else 1 for axis in range(real.ndim)])
    codes = np.rint(real.astype(np.float64) / steps).astype(np.int64) + fmt.zero_point[0]
    return _frozen(np.clip(codes, fmt.lo, fmt.hi))


def _resolved(name: str, aliases: dict[str, str]) -> str:
    return aliases.get(name, name)


def _is_limit(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """Return whether a Clip only narrows the width of the quantizer behind it."""
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    return _limits(node) and all(other.op_type == "QuantizeLinear" for other in readers)


def _limits(node: onnx.NodeProto) -> bool:
    return node.op_type == "Clip" and node.name.endswith(":limit")


def _format(name: str, scale: onnx.TensorProto, zero: onnx.TensorProto, axis: int | None,
            parts: _Parts) -> Format:  # fmt: skip
    steps = numpy_helper.to_array(scale).astype(np.float64).reshape(-1)
    zeros = numpy_helper.to_array(zero).astype(np.int64).reshape(-1)
    bits, signed = _CONTAINERS[zero.data_type]
    owner = name if name in parts.widths else name.rpartition(":")[0]
    bits = parts.widths.get(owner, bits)
    kind = Scale.real(*steps.tolist())
    if parts.is_power_of_two:
        kind = Scale.power_of_two(*(1 - np.frexp(steps)[1]).tolist())
    shared = tuple(zeros.tolist()) if len(set(zeros.tolist())) > 1 else (int(zeros[0]),)
    return Format(bits, signed, kind, shared, axis if len(steps) > 1 else None)


def _float_graph(model: onnx.ModelProto, parts: _Parts) -> Graph:
    """Import what is left: float operators over the real values of all constants."""
    del model.graph.node[:]
    model.graph.node.extend(parts.nodes)
    for name, codes in parts.constants.items():
        steps = codes.format.scale.values()
        axis = codes.format.axis
        if axis is not None:
            steps = steps.reshape([-1 if a == axis else 1 for a in range(codes.values.ndim)])
        real = (codes.values - codes.format.zero_point[0]) * steps
        model.graph.initializer.append(numpy_helper.from_array(real.astype(np.float32), name))
    del model.metadata_props[:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{model.graph.name}.onnx"
        path.write_bytes(model.SerializeToString())
        return _named(replace(import_onnx(path), name=model.graph.name), parts)


def _named(graph: Graph, parts: _Parts) -> Graph:
    """Give tensors their names in the file, where an import names them after their nodes."""
    written = {node.name: tuple(node.output) for node in parts.nodes}
    names = {
        old: new
        for node in graph.nodes
        for old, new in zip(node.outputs, written.get(node.name, node.outputs), strict=True)
    }
    nodes = tuple(
        replace(
            node,
            inputs=tuple(names.get(name, name) for name in node.inputs),
            outputs=tuple(names.get(name, name) for name in node.outputs),
        )
        for node in graph.nodes
    )
    return replace(
        graph,
        nodes=nodes,
        outputs=tuple(names.get(name, name) for name in graph.outputs),
        shapes=frozen_mapping({names.get(n, n): shape for n, shape in graph.shapes.items()}),
    )


def _tidied(graph: Graph, parts: _Parts) -> Graph:
    """Join what ONNX writes as two nodes, and give constants their names in the file."""
    made = graph.producers()
    joined: dict[str, Node] = {}
    for node in graph.nodes:
        first = made.get(node.inputs[0]) if node.op is Op.ADD else None
        if first is not None and first.name in (f"{node.name}.scaled", f"{node.name}.product"):
            op = Op.SCALE_OFFSET if first.op is Op.MUL else first.op
            joined.pop(first.name, None)
            node = replace(node, op=op, inputs=(*first.inputs, node.inputs[1]))  # noqa: PLW2901
        joined[node.name] = node
    constants = {}
    nodes = []
    for node in joined.values():
        names = {
            name: _owner(name, parts, is_bias=node.op in AFFINE and place == 2)
            for place, name in enumerate(node.inputs)
            if name in graph.constants
        }
        nodes.append(replace(node, inputs=tuple(names.get(n, n) for n in node.inputs)))
        for name, owner in names.items():
            flat = node.op in (Op.SCALE_OFFSET, Op.PRELU)
            values = graph.constants[name]
            constants[owner] = values.reshape(-1) if flat else values
    return replace(graph, nodes=tuple(nodes), constants=frozen_mapping(constants))


def _owner(name: str, parts: _Parts, *, is_bias: bool) -> str:
    """Return the name under which the file's quantizers know an imported constant.

    A bias may have none: then it stays a real number, and its codes follow from its layer's scales.
    """
    for known in parts.constants:
        plain = known.removesuffix(":turned")
        if name in (known, plain, f"{known}:fixed", f"{plain}:fixed"):
            return plain
    if is_bias:
        return name.removesuffix(":fixed")
    raise InputError(
        f"the constant '{name}' has no quantizer in the file", hint="compile the graph again"
    )


def _codes(name: str, shape: tuple[int, ...], parts: _Parts) -> Codes:
    """Return the codes of a constant in the layout that its operator wants."""
    if name in parts.constants:
        known = parts.constants[name]
        return Codes(_frozen(known.values.reshape(shape)), known.format)
    known = parts.constants[f"{name}:turned"]
    axis = known.format.axis
    turned = replace(known.format, axis=None if axis is None else known.values.ndim - 1 - axis)
    return Codes(_frozen(known.values.T), turned)


def _frozen(codes: IntArray) -> IntArray:
    codes = np.ascontiguousarray(codes)
    codes.flags.writeable = False
    return codes


def _lowered(graph: Graph, parts: _Parts, meaning: Meaning, target: str) -> QuantizedGraph:
    numerics = meaning.numerics
    given = Assignment(dict(parts.tensors))
    for node in graph.nodes:
        for place, name in enumerate(node.inputs):
            if name in graph.constants and _is_known(name, parts):
                codes = _codes(name, tuple(graph.constants[name].shape), parts)
                given.constants[node.name, place] = codes
    chosen = units(graph, numerics)
    done = complete(graph, chosen, numerics, given)
    for node in graph.nodes:
        # A real bias scale is the product of two others, exact in float64 but not in the file.
        if node.op in AFFINE and len(node.inputs) > 2 and not meaning.is_power_of_two:
            scale = product_scale(done.operand(node, 0).scale, done.operand(node, 1).scale)
            bias = done.constants.get((node.name, 2)) or _bias(graph, node, numerics, scale)
            exact = replace(bias.format, scale=scale, axis=0 if len(scale) > 1 else None)
            done.constants[node.name, 2] = Codes(bias.values, exact)
    return lower(graph, chosen, numerics, done, target=target)


def _bias(graph: Graph, node: Node, numerics: Numerics, scale: Scale) -> Codes:
    """Return the codes of a bias that the file holds as real numbers."""
    real = graph.constants[node.inputs[2]].astype(np.float64).reshape(-1)
    codes = np.rint(real / scale.values()).astype(np.int64)
    axis = 0 if len(scale) > 1 else None
    return Codes(_frozen(codes), Format(numerics.bias.bits, signed=True, scale=scale, axis=axis))


def _is_known(name: str, parts: _Parts) -> bool:
    return name in parts.constants or f"{name}:turned" in parts.constants
