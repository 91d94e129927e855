"""From a quantized graph back to integer layers: what the writer and the planner work on."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.errors import GraphError
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.steps import Clamp, Divide, ShiftLeft, ShiftRight, Steps
from nibblefit.ir.ops import ELEMENTWISE, WEIGHTED, Op
from nibblefit.ir.quantized import Placement, QuantizedGraph, QuantizedNode
from nibblefit_maxim.layers import (
    Activation,
    Eltwise,
    HardwareLayer,
    IntegerLayer,
    Operator,
    Pool,
    PoolKind,
)
from nibblefit_maxim.lower import ROUNDED_POOLS
from nibblefit_maxim.numerics import POOL_ROUNDING
from nibblefit_maxim.parts import PARTS

_POOLS = {Op.MAX_POOL: PoolKind.MAX, Op.AVG_POOL: PoolKind.AVG}
_ONLY_MOVING = frozenset({Op.CONCAT, Op.FLATTEN, Op.IDENTITY})
#: Other ways of reading the same memory; they belong to the layer that reads.
_VIEWS = frozenset({Op.RESHAPE, Op.SPLIT})
_ROUNDINGS = {POOL_ROUNDING: False, ROUNDED_POOLS: True}


def lift(graph: QuantizedGraph) -> tuple[IntegerLayer, ...]:
    """Return the hardware layers of a graph that follows this target's numerics.

    Raises:
        GraphError: A node or a step is none that this target makes; names it.
    """
    groups: dict[str, list[QuantizedNode]] = {}
    for node in graph.nodes:
        if node.placement is Placement.ACCELERATOR and node.op not in _VIEWS:
            groups.setdefault(node.layer or node.name, []).append(node)
    return tuple(_Layer(graph, name, nodes).lift() for name, nodes in groups.items())


class _Layer:
    """The nodes of one hardware layer, sorted by what they do."""

    def __init__(self, graph: QuantizedGraph, name: str, nodes: Sequence[QuantizedNode]) -> None:
        self._graph = graph
        self._name = name
        self._nodes = nodes
        self._pools = [node for node in nodes if node.op in _POOLS]
        self._eltwise = next((node for node in nodes if node.op in ELEMENTWISE), None)
        self._operator = next((node for node in nodes if node.op in WEIGHTED), None)
        self._abs = next((node for node in nodes if node.op is Op.ABS), None)
        for node in nodes:
            known = node.op in WEIGHTED | ELEMENTWISE | _ONLY_MOVING | _POOLS.keys() | {Op.ABS}
            if not known:
                raise GraphError(f"node '{node.name}' ({node.op}) belongs to no layer of 'maxim'")

    def lift(self) -> IntegerLayer:
        """Return the layer."""
        graph = self._graph
        made = {output for node in self._nodes for output in node.outputs}
        inputs = tuple(
            name
            for node in self._nodes
            for name in node.inputs
            if name not in made and name not in graph.constants
        )
        output = self._nodes[-1].output
        operands = [graph.tensors[name].shape for name in inputs]
        channels = operands[0][0] if self._eltwise else sum(shape[0] for shape in operands)
        shape = (channels, *operands[0][1:])
        read, packed = self._sources(inputs)
        kind = self._kind()
        conv = self._operator if kind is not Operator.LINEAR else None
        wide = self._operator is not None and graph.tensors[output].format.bits == 32
        axes = len(shape) - 1
        attributes = conv.attributes if conv else {}
        layer = HardwareLayer(
            name=self._name,
            operator=kind,
            inputs=read,
            input_shape=shape,
            output_shape=graph.tensors[output].shape,
            pool=self._pool(),
            eltwise=Eltwise(self._eltwise.op.value) if self._eltwise else None,
            pool_first=self._pools_first(),
            kernel=graph.tensors[conv.inputs[1]].shape[2:] if conv else (),
            pad=tuple(attributes.get("pads", ())[:axes]) if conv else (),
            dilation=tuple(attributes.get("dilations", ())) if conv else (),
            groups=int(attributes.get("groups", 1)),
            flatten=kind is Operator.LINEAR and len(shape) > 1 and max(shape[1:]) > 1,
            activation=self._activation(),
            wide=wide,
            weight=self._operator.inputs[1] if self._operator else "",
            output=output,
            packed=packed,
        )
        return self._integers(layer)

    def _sources(self, inputs: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """Return the tensors behind views, and how many operands lie in one of them."""
        producers, found, packed = self._graph.producers(), [], 0
        for name in inputs:
            source, node = name, producers.get(name)
            while node is not None and node.op in _VIEWS:
                packed += node.op is Op.SPLIT
                source = node.inputs[0]
                node = producers.get(source)
            found.append(source)
        return (found[0],) if packed else tuple(found), packed

    def _kind(self) -> Operator:
        if self._operator is None:
            return Operator.PASSTHROUGH
        if self._operator.op is Op.LINEAR:
            return Operator.LINEAR
        if self._operator.op is Op.CONV_TRANSPOSE:
            return Operator.CONV_TRANSPOSE2D
        weights = self._graph.tensors[self._operator.inputs[1]].shape
        return Operator.CONV1D if len(weights) == 3 else Operator.CONV2D

    def _pool(self) -> Pool | None:
        if not self._pools:
            return None
        node = self._pools[0]
        attributes = node.attributes
        kind, rounded = _POOLS[node.op], False
        if kind is PoolKind.AVG:
            divisor = node.steps[0] if node.steps else None
            if not isinstance(divisor, Divide) or divisor.rounding not in _ROUNDINGS:
                raise GraphError(
                    f"node '{node.name}' neither truncates its average toward zero nor rounds it "
                    "half away from zero"
                )
            rounded = _ROUNDINGS[divisor.rounding]
        window, stride, dilation = (
            tuple(attributes[key]) for key in ("kernel", "strides", "dilations")
        )
        return Pool(kind, window, stride, dilation, rounded)

    def _pools_first(self) -> bool:
        if not self._pools or self._eltwise is None:
            return True
        order = {node.name: index for index, node in enumerate(self._nodes)}
        return order[self._pools[0].name] < order[self._eltwise.name]

    def _activation(self) -> Activation:
        if self._abs is not None:
            return Activation.ABS
        steps = self._operator.steps if self._operator else ()
        return Activation.RELU if Clamp(0, None) in steps else Activation.NONE

    def _integers(self, layer: HardwareLayer) -> IntegerLayer:
        graph, node = self._graph, self._operator
        in_frac = _frac(graph, layer.inputs[0])
        if node is None:
            return IntegerLayer(layer, in_frac=in_frac, out_frac=in_frac)
        weights = graph.constants[node.inputs[1]]
        bits = graph.tensors[node.inputs[1]].format.bits
        is_binary = self._is_binary(weights, bits)
        item = IntegerLayer(
            layer,
            weights,
            graph.constants[node.inputs[2]] if len(node.inputs) > 2 else None,
            1 if is_binary else bits,
            _frac(graph, node.inputs[1]),
            in_frac,
            in_frac if layer.wide else _frac(graph, layer.tensor),
            is_binary,
        )
        if not layer.wide and item.right_shift != _right_shift(node.steps, node.name):
            raise GraphError(
                f"node '{node.name}' shifts by {_right_shift(node.steps, node.name)}, but its "
                f"formats ask for {item.right_shift}"
            )
        return item

    def _is_binary(self, weights: IntArray, bits: int) -> bool:
        """Return whether two-bit codes are all plus or minus one, which needs one bit only."""
        part = PARTS.get(str(self._graph.metadata.get("part")))
        can = part is not None and part.has_binary and bits == 2
        return can and bool((abs(weights) == 1).all())


def _frac(graph: QuantizedGraph, tensor: str) -> int:
    frac = graph.tensors[tensor].format.scale.frac
    if frac is None:
        raise GraphError(f"tensor '{tensor}' has a scale that is no power of two")
    return frac[0]


def _right_shift(steps: Steps, node: str) -> int:
    match steps:
        case (ShiftRight(bits=int(bits), rounding=Rounding.HALF_UP), Clamp(-128, 127), *_):
            return bits
        case (ShiftLeft(bits=int(bits)), Clamp(-128, 127), *_):
            return -bits
        case (Clamp(-128, 127), *_):
            return 0
    raise GraphError(f"node '{node}' has steps that this hardware does not do: {steps}")
