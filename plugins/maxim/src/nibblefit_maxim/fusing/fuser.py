"""Fusing: walk the float graph once, keep what the hardware does first waiting, close layers late.

A layer of the hardware pools and combines its inputs, then convolves, then rectifies. So pools,
additions and flattening wait in a `Value` until the next operator takes them along; batch norm
and rectifiers join the layer that was made last, if nobody else reads what lies between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from nibblefit.ir.attributes import spatial
from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.ir.ops import Op
from nibblefit.ir.shapes import infer_shapes
from nibblefit_maxim.fusing.geometry import UnfitError, conv_operator, pool_of, pooled_shape
from nibblefit_maxim.fusing.network import FusedNetwork, NetworkOutput, Refusal
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.layers import (
    Activation,
    Eltwise,
    HardwareLayer,
    Operator,
    Pool,
    PoolKind,
)
from nibblefit_maxim.parts import MAX_OPERANDS, Part

#: Nearest thing that works, for operators the hardware lacks.
HINTS: dict[Op, str] = {
    Op.CLIP: "use relu; outputs saturate by themselves",
    Op.LEAKY_RELU: "use relu or abs",
    Op.PRELU: "use relu or abs",
    Op.HARD_SIGMOID: "use relu, or leave it to host software behind the network",
    Op.HARD_SWISH: "use relu",
    Op.SIGMOID: "use relu inside; leave a final sigmoid to host software",
    Op.TANH: "use relu; outputs saturate by themselves",
    Op.SOFTMAX: "end the network with the class scores; host software does the softmax",
    Op.ARGMAX: "end the network with the class scores; host software picks the largest",
    Op.MUL: "use add; there is no product of two tensors",
    Op.PAD: "let the convolution pad by 0, 1 or 2",
    Op.CONV_TRANSPOSE: "upsample outside the network; transposed convolutions are not fused yet",
}

#: Operators that change nothing at inference time.
_ALIASES = (Op.DROPOUT, Op.IDENTITY)
_ELTWISE = {Op.ADD: Eltwise.ADD, Op.SUB: Eltwise.SUB}
_POOLS = (Op.MAX_POOL, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL)


def fuse(graph: Graph, part: Part, *, wide_output: bool = True) -> FusedNetwork:
    """Return the hardware layers of a float graph, and every layer that cannot be one.

    Args:
        graph: With or without batch norm; constants give kernel sizes only.
        part: Device whose operators count.
        wide_output: A last layer without activation writes its 32-bit accumulator.
    """
    return _Fuser(graph, part).run(wide_output=wide_output)


class _Fuser:
    def __init__(self, graph: Graph, part: Part) -> None:
        self._graph = graph
        self._part = part
        self._readers = graph.consumers()
        self._values: dict[str, Value] = {}
        self._layers: dict[str, HardwareLayer] = {}
        self._flushed: dict[Value, str] = {}
        self._refusals: list[Refusal] = []
        self._handlers: dict[Op, Callable[[Node], Value]] = {
            Op.CONV: self._conv,
            Op.LINEAR: self._linear,
            Op.BATCH_NORM: self._batch_norm,
            Op.RELU: self._activation,
            Op.ABS: self._activation,
            Op.CONCAT: self._concat,
            Op.FLATTEN: self._flatten,
            Op.RESHAPE: self._flatten,
            **dict.fromkeys(_ALIASES, self._alias),
            **dict.fromkeys(_ELTWISE, self._combine),
            **dict.fromkeys(_POOLS, self._pool),
        }

    def run(self, *, wide_output: bool) -> FusedNetwork:
        """Walk the graph and return everything found."""
        graph = self._graph
        if len(graph.inputs) != 1:
            self._refuse(graph.name, f"it has {len(graph.inputs)} inputs", "use one input")
        for name in graph.inputs:
            self._values[name] = Value((name,), graph.shapes[name], graph.shapes[name])
        for node in graph.nodes:
            self._visit(node)
        outputs = [self._output(name, wide=wide_output) for name in graph.outputs]
        tensors = {layer.name: layer.tensor for layer in self._layers.values()}
        return FusedNetwork(
            graph.name,
            graph.inputs[0],
            graph.shapes[graph.inputs[0]],
            tuple(
                replace(layer, inputs=tuple(tensors.get(name, name) for name in layer.inputs))
                for layer in self._layers.values()
            ),
            tuple(replace(item, tensor=tensors.get(item.tensor, item.tensor)) for item in outputs),
            tuple(self._refusals),
        )

    def _refuse(self, layer: str, reason: str, hint: str) -> None:
        self._refusals.append(Refusal(layer, reason, hint))

    def _visit(self, node: Node) -> None:
        shape = self._graph.shapes[node.output]
        try:
            value = self._handler(node)(node)
        except UnfitError as error:
            self._refuse(node.name, error.reason, error.hint)
            # Later layers are still examined, as if this one existed.
            value = Value((node.name,), shape, shape, is_shared=True)
        for output in node.outputs:
            self._values[output] = value

    def _handler(self, node: Node) -> Callable[[Node], Value]:
        if node.op not in self._handlers:
            hint = HINTS.get(node.op, "replace it by convolution, pooling, add, relu or abs")
            raise UnfitError(f"the hardware has no {node.op}", hint)
        if node.inputs[0] not in self._values:
            raise UnfitError("it works on a constant", "compute it before the network")
        return self._handlers[node.op]

    def _is_private(self, tensor: str) -> bool:
        return len(self._readers.get(tensor, ())) == 1 and tensor not in self._graph.outputs

    def _input(self, node: Node) -> Value:
        value = self._values[node.inputs[0]]
        return replace(value, is_shared=value.is_shared or not self._is_private(node.inputs[0]))

    def _conv(self, node: Node) -> Value:
        value = self._input(node)
        weights = self._constant_shape(node, 1)
        if value.is_flat:
            raise UnfitError("it convolves flattened features", "flatten only before linear layers")
        operator = conv_operator(node, value.shape[0], weights, self._part)
        axes = len(weights) - 2
        if operator is Operator.CONV1D and value.eltwise:
            value = self._flush(value)
        attributes = {**node.attributes, "strides": (1,) * axes}
        (shape,) = infer_shapes(Op.CONV, attributes, [value.shape, weights])
        self._layers[node.name] = HardwareLayer(
            name=node.name,
            operator=operator,
            inputs=value.sources,
            input_shape=value.operand_shape,
            output_shape=shape,
            pool=value.pool,
            eltwise=value.eltwise,
            pool_first=value.pool_first,
            kernel=tuple(weights[2:]),
            pad=spatial(node.attributes, "pads", 2 * axes, 0)[:axes],
            dilation=spatial(node.attributes, "dilations", axes, 1),
            groups=int(node.attributes.get("groups", 1)),
            weight=node.inputs[1],
            bias=node.inputs[2] if len(node.inputs) > 2 else "",
            sources=(*value.nodes, node.name),
            output=node.output,
        )
        made = Value((node.name,), shape, shape)
        strides = spatial(node.attributes, "strides", axes, 1)
        if max(strides) > 1:
            # Convolve everywhere; the next layer reads every s-th position.
            pool = Pool(PoolKind.MAX, (1,) * axes, strides, (1,) * axes)
            self._layers[node.name] = replace(self._layers[node.name], output=f"{node.name}.dense")
            return replace(made, shape=pooled_shape(pool, shape), pool=pool)
        return made

    def _linear(self, node: Node) -> Value:
        value = self._input(node)
        weights = self._constant_shape(node, 1)
        if len(value.shape) > 1 or value.shape[0] != weights[1]:
            raise UnfitError(
                f"it multiplies the last axis of {value.shape}",
                "flatten in front of linear layers, or use a 1×1 convolution",
            )
        pixels = prod(value.operand_shape[1:])
        if value.pool or value.is_concatenation or (value.eltwise and pixels > 1):
            value = self._flush(value)
            pixels = prod(value.operand_shape[1:])
        self._layers[node.name] = HardwareLayer(
            name=node.name,
            operator=Operator.LINEAR,
            inputs=value.sources,
            input_shape=value.operand_shape,
            output_shape=(weights[0],),
            eltwise=value.eltwise,
            flatten=pixels > 1,
            weight=node.inputs[1],
            bias=node.inputs[2] if len(node.inputs) > 2 else "",
            sources=(*value.nodes, node.name),
            output=node.output,
        )
        return Value((node.name,), (weights[0],), (weights[0],))

    def _constant_shape(self, node: Node, index: int) -> Shape:
        name = node.inputs[index]
        if name not in self._graph.constants:
            raise UnfitError("its weights are computed by the network", "use constant weights")
        return tuple(self._graph.constants[name].shape)

    def _open_layer(self, value: Value) -> HardwareLayer | None:
        """Return the layer that something behind `value` may still join."""
        if value.is_shared or len(value.sources) != 1 or value.eltwise is not None:
            return None
        layer = self._layers.get(value.sources[0])
        return layer if layer and layer.has_weights else None

    def _batch_norm(self, node: Node) -> Value:
        value = self._input(node)
        layer = self._open_layer(value)
        subsampled = value.pool is not None and max(value.pool.window) == 1
        if (
            layer is None
            or layer.activation is not Activation.NONE
            or layer.identity
            or (value.pool is not None and not subsampled)
        ):
            raise UnfitError(
                "batch norm does not follow a convolution directly, so it cannot be folded",
                "put it right behind a convolution, in front of the rectifier",
            )
        self._layers[layer.name] = replace(self._joined(layer, value, node), is_normed=True)
        return replace(value, is_shared=False)

    def _joined(self, layer: HardwareLayer, value: Value, node: Node) -> HardwareLayer:
        """Return the layer with one more float node; its tensor takes the node's name."""
        output = node.output if value.pool is None else f"{layer.name}.dense"
        return replace(layer, sources=(*layer.sources, node.name), output=output)

    def _activation(self, node: Node) -> Value:
        value = self._input(node)
        kind = Activation.RELU if node.op is Op.RELU else Activation.ABS
        layer = self._open_layer(value)
        pool = value.pool
        # Rectifying commutes with the maximum, and everything commutes with subsampling.
        commutes = (
            pool is None
            or max(pool.window) == 1
            or (kind is Activation.RELU and pool.kind is PoolKind.MAX)
        )
        if layer and commutes:
            joined = self._joined(layer, value, node)
            # Behind relu or abs nothing is negative, so a second one changes nothing.
            if layer.activation is Activation.NONE:
                joined = replace(joined, activation=kind)
            self._layers[layer.name] = joined
            return replace(value, is_shared=False)
        return self._identity(node, value, kind)

    def _identity(self, node: Node, value: Value, kind: Activation) -> Value:
        """Insert a 1×1 convolution that changes nothing, to rectify behind it."""
        if value.is_flat or len(value.operand_shape) < 2:
            raise UnfitError(
                f"{node.op} stands behind neither a convolution nor a linear layer",
                "put it right behind one",
            )
        axes = len(value.operand_shape) - 1
        operator = Operator.CONV2D if axes == 2 else Operator.CONV1D
        if operator is Operator.CONV1D and value.eltwise:
            value = self._flush(value)
        self._layers[node.name] = HardwareLayer(
            name=node.name,
            operator=operator,
            inputs=value.sources,
            input_shape=value.operand_shape,
            output_shape=value.shape,
            pool=value.pool,
            eltwise=value.eltwise,
            pool_first=value.pool_first,
            kernel=(1,) * axes,
            pad=(0,) * axes,
            dilation=(1,) * axes,
            activation=kind,
            identity=True,
            sources=(*value.nodes, node.name),
            output=node.output,
        )
        return Value((node.name,), value.shape, value.shape)

    def _pool(self, node: Node) -> Value:
        value = self._input(node)
        if value.is_flat or len(value.shape) < 2:
            raise UnfitError("it pools flattened features", "pool before flattening")
        pool = pool_of(node, value.shape)
        two = value.eltwise is not None and len(value.sources) > 2
        if value.pool is not None or two:
            value = self._flush(value)
        return replace(
            value,
            pool=pool,
            pool_first=value.eltwise is None,
            shape=pooled_shape(pool, value.shape),
            nodes=(*value.nodes, node.name),
        )

    def _operands(self, node: Node) -> list[Value]:
        values = []
        for name in node.inputs:
            if name not in self._values:
                raise UnfitError("one operand is a constant", "fold it into a bias")
            value = self._values[name]
            if value.is_flat or len(value.shape) < 2:
                raise UnfitError("it combines flattened features", "combine before flattening")
            values.append(value)
        return values

    def _combine(self, node: Node) -> Value:
        values = self._operands(node)
        if len({value.shape for value in values}) > 1:
            raise UnfitError(
                f"operands have shapes {[v.shape for v in values]}", "use operands of one shape"
            )
        if len(values) > MAX_OPERANDS:
            raise UnfitError(f"{len(values)} operands", f"use at most {MAX_OPERANDS}")
        first = values[0]
        pools_alike = all(
            len(v.sources) == 1
            and v.eltwise is None
            and (v.pool, v.operand_shape) == (first.pool, first.operand_shape)
            for v in values
        )
        if not pools_alike:
            values = [value if value.is_plain else self._flush(value) for value in values]
        waiting = tuple(dict.fromkeys(name for value in values for name in value.nodes))
        return Value(
            tuple(value.sources[0] for value in values),
            values[0].operand_shape,
            values[0].shape,
            _ELTWISE[node.op],
            values[0].pool,
            nodes=(*waiting, node.name),
        )

    def _concat(self, node: Node) -> Value:
        if node.attributes["axis"] != 1:
            raise UnfitError("it concatenates along a spatial axis", "concatenate channels")
        values = [v if v.is_plain else self._flush(v) for v in self._operands(node)]
        sources = tuple(value.sources[0] for value in values)
        shape = self._graph.shapes[node.output]
        return Value(sources, shape, shape, nodes=(node.name,))

    def _flatten(self, node: Node) -> Value:
        value = self._input(node)
        shape = self._graph.shapes[node.output]
        if shape == value.shape:
            return value
        if shape != (prod(value.shape),):
            raise UnfitError(f"it reshapes {value.shape} to {shape}", "flatten to features only")
        return replace(value, shape=shape, is_flat=True, nodes=(*value.nodes, node.name))

    def _alias(self, node: Node) -> Value:
        return self._input(node)

    def _flush(self, value: Value) -> Value:
        """Carry out what waits in a layer without convolution; flattening goes on waiting."""
        waiting = replace(value, shape=value.operand_shape, is_flat=False, is_shared=False)
        if value.is_flat and value.nodes:
            waiting = replace(waiting, nodes=value.nodes[:-1])
        if waiting in self._flushed:
            name = self._flushed[waiting]
        else:
            name = waiting.nodes[-1] if waiting.nodes else f"{value.sources[0]}.subsampled"
            self._flushed[waiting] = name
        shape = value.operand_shape
        if value.pool is not None:
            shape = pooled_shape(value.pool, shape)
        if name not in self._layers:
            self._layers[name] = HardwareLayer(
                name=name,
                operator=Operator.PASSTHROUGH,
                inputs=value.sources,
                input_shape=value.operand_shape,
                output_shape=shape,
                pool=value.pool,
                eltwise=value.eltwise,
                pool_first=value.pool_first,
                sources=waiting.nodes,
            )
        return Value((name,), shape, value.shape, is_flat=value.is_flat)

    def _output(self, name: str, *, wide: bool) -> NetworkOutput:
        value = self._values[name]
        if not value.is_plain or value.sources[0] == self._graph.inputs[0]:
            value = self._flush(value)
        layer = self._layers.get(value.sources[0])
        if layer and wide and layer.has_weights and layer.activation is Activation.NONE:
            readers = sum(layer.name in other.inputs for other in self._layers.values())
            if readers == 0:
                self._layers[layer.name] = replace(layer, wide=True)
        return NetworkOutput(name, value.sources[0], self._graph.shapes[name])
