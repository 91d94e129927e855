"""The float layers that stand for the integer nodes of a quantized graph."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format
from nibblefit.fixed.steps import Clamp
from nibblefit.ir.graph import Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit_tidl.qdq.functions import function_of
from nibblefit_tidl.qdq.naming import raw_name, value_name

#: Scale types that TI's tools read as prequantized models. Source: presets qat_v2 (4) and
#: qat_v2_p2 (1) of edgeai-benchmark 11.2.
SCALE_TYPES = (1, 4)
#: Layers whose clamp may be a rectifier of its own.
RECTIFIED = frozenset({Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.MATMUL, Op.ADD, Op.SUB, Op.MUL})
MOVED = frozenset({
    Op.MAX_POOL, Op.FLATTEN, Op.RESHAPE, Op.TRANSPOSE, Op.SLICE, Op.SPLIT, Op.RESIZE_NEAREST,
    Op.PIXEL_SHUFFLE, Op.PAD,
})  # fmt: skip
AVERAGED = frozenset({Op.AVG_POOL, Op.GLOBAL_AVG_POOL})
SUPPORTED = RECTIFIED | MOVED | AVERAGED | {
    Op.CONCAT, Op.RELU, Op.CLIP, Op.ABS, Op.IDENTITY, Op.ARGMAX, Op.TABLE, Op.LEAKY_RELU, Op.PRELU,
    Op.SOFTMAX, Op.RESIZE_BILINEAR,
}  # fmt: skip
#: Why the other operators of the integer graph have no QDQ form.
_REASONS = {
    Op.SCALE_OFFSET: "is a batch norm of its own; prequantized models have batch norms folded, so "
    "put it behind a convolution",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One integer node as a chain of float nodes.

    Attributes:
        quantized: The integer node.
        nodes: The operator and a rectifier behind it, in order.
    """

    quantized: QuantizedNode
    nodes: tuple[Node, ...]


def layers_of(graph: QuantizedGraph) -> tuple[Layer, ...]:
    """Return the float layers of a graph in execution order.

    Raises:
        UnsupportedError: QDQ has no form for a layer or a tensor; all of them are listed.
    """
    problems = [*_mode_problems(graph), *_tensor_problems(graph)]
    problems += [problem for node in graph.nodes for problem in _node_problems(graph, node)]
    if problems:
        lines = "".join(f"\n  • {problem}" for problem in problems)
        raise UnsupportedError(
            f"network '{graph.name}' cannot be written as QDQ ONNX{lines}",
            hint="let the tools calibrate the float model (accuracy_level 1) instead",
        )
    return tuple(Layer(node, _chain(graph, node)) for node in graph.nodes)


def bounds_of(node: QuantizedNode) -> Clamp | None:
    """Return the saturation that ends a node."""
    last = node.steps[-1] if node.steps else None
    return last if isinstance(last, Clamp) else None


def _mode_problems(graph: QuantizedGraph) -> list[str]:
    kind = graph.metadata.get("quantization_scale_type")
    if graph.target == "tidl" and kind in SCALE_TYPES:
        return []
    if graph.target != "tidl":
        return [f"it was quantized for target '{graph.target}'; expected 'tidl'"]
    wanted = "the tools take prequantized ONNX models with 1 (powers of two) or 4 (asymmetric)"
    why: dict[object, str] = {
        0: "; the presets for prequantized models have no type for symmetric scales that are no "
        "powers of two",
        3: "; that type is for prequantized TensorFlow Lite models",
    }
    return [f"quantization_scale_type is {kind}; {wanted}{why.get(kind, '')}"]


def _tensor_problems(graph: QuantizedGraph) -> list[str]:
    indices = {node.output for node in graph.nodes if node.op is Op.ARGMAX}
    made = (*graph.inputs, *(name for node in graph.nodes for name in node.outputs))
    wide = [name for name in made if graph.tensors[name].format.bits != 8 and name not in indices]
    # Tables of functions are the device's own; the file has the function.
    weights = [name for node in graph.nodes if node.op not in (Op.TABLE, Op.SOFTMAX)
               for name in node.inputs[1:2] if name in graph.constants
               and graph.tensors[name].format.bits != 8]  # fmt: skip
    return [
        f"'{name}' has {graph.tensors[name].format.bits} bits; QuantizeLinear has 16 from opset 21 "
        "on, and the tools read up to 19"
        for name in dict.fromkeys((*wide, *weights))
    ]


def _node_problems(graph: QuantizedGraph, node: QuantizedNode) -> list[str]:
    where = f"layer '{node.name}' ({node.op.value})"
    if node.op not in SUPPORTED:
        none = "has no form between DequantizeLinear and QuantizeLinear"
        return [f"{where} {_REASONS.get(node.op, none)}"]
    if node.op in (Op.TABLE, Op.LEAKY_RELU) and function_of(graph, node) is None:
        return [f"{where} does not say which function it computes; quantize the network again"]
    if node.op is Op.LINEAR and len(graph.tensors[node.inputs[0]].shape) != 1:
        axes = len(graph.tensors[node.inputs[0]].shape)
        return [f"{where} takes a tensor of {axes} axes; Gemm takes vectors"]
    if (
        node.op is Op.AVG_POOL
        and node.attributes.get("count_include_pad")
        and (node.attributes.get("ceil_mode"))
    ):
        return [f"{where} counts padding and partial windows, which takes a layer of its own"]
    if node.op is Op.ARGMAX and node.output not in graph.outputs:
        return [f"{where} is read by another layer; indices can only leave the network"]
    return []


def _chain(graph: QuantizedGraph, node: QuantizedNode) -> tuple[Node, ...]:
    inputs = tuple(n if n in graph.constants else value_name(graph, n) for n in node.inputs)
    outputs = tuple(n if node.op is Op.ARGMAX else raw_name(n) for n in node.outputs)
    if node.op in (Op.TABLE, Op.LEAKY_RELU, Op.SOFTMAX, Op.PAD):
        return (_function(graph, node, inputs[:1], outputs),)
    rectifier = _rectifier(graph, node)
    if rectifier is None:
        return (Node(node.name, node.op, inputs, outputs, node.attributes, node.name),)
    op, attributes = rectifier
    name = f"{node.name}.{op.value}"
    if node.op in (Op.RELU, Op.CLIP):
        return (Node(node.name, op, inputs, outputs, frozen_mapping(attributes), node.name),)
    middle = f"{node.name}_unrectified"
    return (
        Node(node.name, node.op, inputs, (middle,), node.attributes, node.name),
        Node(name, op, (middle,), outputs, frozen_mapping(attributes), name),
    )


def _function(graph: QuantizedGraph, node: QuantizedNode, inputs: tuple[str, ...],
              outputs: tuple[str, ...]) -> Node:  # fmt: skip
    """Return the float node of a function, or of padding with its real value."""
    op, attributes = node.op, node.attributes
    function = function_of(graph, node)
    if function is not None:
        op, attributes = function.op, function.attributes
    elif node.op is Op.PAD:
        fmt = graph.tensors[node.inputs[0]].format
        code = int(attributes.get("value", 0)) - fmt.zero_point[0]
        attributes = frozen_mapping({**attributes, "value": code * float(fmt.scale.values()[0])})
    return Node(node.name, op, inputs, outputs, attributes, node.name)


def _rectifier(graph: QuantizedGraph, node: QuantizedNode) -> tuple[Op, dict[str, float]] | None:
    """Return the rectifier that a node's last clamp is, None where it only saturates."""
    clamp = bounds_of(node)
    if clamp is None or node.op not in RECTIFIED | {Op.RELU, Op.CLIP}:
        return None
    fmt = graph.tensors[node.output].format
    zero, step = fmt.zero_point[0], float(fmt.scale.values()[0])
    lo = fmt.lo if clamp.lo is None else clamp.lo
    hi = fmt.hi if clamp.hi is None else clamp.hi
    if hi < fmt.hi:
        return Op.CLIP, {"lo": (lo - zero) * step, "hi": (hi - zero) * step}
    if lo == zero and (lo > fmt.lo or _may_fall(graph, node)):
        return Op.RELU, {}
    if lo > fmt.lo or node.op is Op.CLIP:
        return Op.CLIP, {"lo": (lo - zero) * step, "hi": (hi - zero) * step}
    return (Op.RELU, {}) if node.op is Op.RELU else None


def _may_fall(graph: QuantizedGraph, node: QuantizedNode) -> bool:
    """Return whether a result can be negative, so that zero as lowest code rectifies."""
    if node.op not in (Op.ADD, Op.MUL, Op.MATMUL):
        return True
    return any(_signed(graph.tensors[name].format) for name in node.inputs)


def _signed(fmt: Format) -> bool:
    return fmt.lo < fmt.zero_point[0]
