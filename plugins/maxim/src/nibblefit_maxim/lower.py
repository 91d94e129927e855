"""From integer layers to the quantized graph: all that decides bits, as nodes and steps.

The order inside one layer is the hardware's: concatenate, pool and combine operands, flatten,
multiply and accumulate, shift and clip, rectify. The last node is named like the tensor that the
layer writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nibblefit.fixed.formats import Format, IntArray, Rounding, Scale
from nibblefit.fixed.steps import Clamp, Divide, ShiftLeft, Steps
from nibblefit.ir.graph import Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.shapes import infer_shapes
from nibblefit_maxim.layers import (
    Activation,
    Eltwise,
    HardwareLayer,
    IntegerLayer,
    Operator,
    Pool,
    PoolKind,
)
from nibblefit_maxim.numerics import (
    ACCUMULATOR,
    BIAS_SHIFT,
    DATA_BITS,
    DATA_FRAC,
    POOL_ROUNDING,
    output_steps,
)

#: Rounding of averages with the compiler's flag --avg-pool-rounding: half away from zero.
#: Source: measured with ai8x-synthesis ab4f4c0 (−0.5 → −1, 0.5 → 1).
ROUNDED_POOLS = Rounding.HALF_AWAY
_TO_BYTE = (Clamp(-128, 127),)
_ELTWISE_OPS = {Eltwise.ADD: Op.ADD, Eltwise.SUB: Op.SUB, Eltwise.OR: Op.OR, Eltwise.XOR: Op.XOR}
_OPERATOR_OPS = {
    Operator.CONV1D: Op.CONV,
    Operator.CONV2D: Op.CONV,
    Operator.CONV_TRANSPOSE2D: Op.CONV_TRANSPOSE,
    Operator.LINEAR: Op.LINEAR,
}
#: Stride of the only transposed convolution the hardware has.
TRANSPOSE_STRIDE = 2
#: Its output padding.
TRANSPOSE_OUTPUT_PADDING = 1


def byte_format(frac: int = DATA_FRAC) -> Format:
    """Return the format of 8-bit data with `frac` fractional bits."""
    return Format(DATA_BITS, True, Scale.power_of_two(frac))


@dataclass(frozen=True, slots=True)
class _Link:
    """One operation of a layer that is still to become a node."""

    suffix: str
    op: Op
    inputs: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=frozen_mapping)
    input_steps: tuple[Steps, ...] = ()
    steps: Steps = ()
    format: Format | None = None
    accumulates: bool = False


class GraphBuilder:
    """Collects nodes and tensors of one quantized graph, layer by layer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._inputs: list[str] = []
        self._nodes: list[QuantizedNode] = []
        self._tensors: dict[str, QuantizedTensor] = {}
        self._constants: dict[str, IntArray] = {}

    def add_input(self, name: str, shape: Shape, frac: int = DATA_FRAC) -> None:
        """Declare a network input of 8-bit data."""
        self._inputs.append(name)
        self._tensors[name] = QuantizedTensor(name, shape, byte_format(frac))

    def shape(self, tensor: str) -> Shape:
        """Return the shape of a tensor without batch axis."""
        return self._tensors[tensor].shape

    def frac(self, tensor: str) -> int:
        """Return the fractional bits of a tensor."""
        frac = self._tensors[tensor].format.scale.frac
        return frac[0] if frac else 0

    def add_constant(self, name: str, values: IntArray, form: Format, layer: str = "") -> str:
        """Store a constant and return its name.

        Layers that share weights share its name as long as their codes are the same; `layer`
        tells the names apart where they are not.
        """
        array = np.array(values, dtype=np.int64)
        array.flags.writeable = False
        known = self._tensors.get(name)
        if known is not None and layer:
            same = known.format == form and np.array_equal(self._constants[name], array)
            name = name if same else f"{layer}:{name}"
        self._constants[name] = array
        self._tensors[name] = QuantizedTensor(name, array.shape, form)
        return name

    def add_host(self, node: QuantizedNode, result: QuantizedTensor) -> None:
        """Append a node that host software computes."""
        self._nodes.append(node)
        self._tensors[result.name] = result

    def tensor(self, name: str) -> QuantizedTensor:
        """Return a tensor's shape and format."""
        return self._tensors[name]

    def split(self, tensor: str, parts: int, layer: str) -> tuple[str, ...]:
        """Split a tensor's channels into equal operands; returns their names."""
        channels, *spatial = self.shape(tensor)
        size = channels // parts
        names = tuple(f"{layer}.operand{index}" for index in range(parts))
        form = self._tensors[tensor].format
        attributes = frozen_mapping({"axis": 1, "sizes": (size,) * parts})
        self._nodes.append(
            QuantizedNode(f"{layer}.split", Op.SPLIT, (tensor,), names, attributes, layer=layer)
        )
        for name in names:
            self._tensors[name] = QuantizedTensor(name, (size, *spatial), form)
        return names

    def reshape(self, tensor: str, shape: Shape, layer: str) -> str:
        """Read a tensor's values in another shape; returns the new tensor's name."""
        link = _Link("reshape", Op.RESHAPE, attributes=frozen_mapping({"shape": shape}))
        return self._emit(link, (tensor,), f"{layer}.reshape", layer, "")

    def cut(self, tensor: str, axis: int, span: tuple[int, int], layer: str) -> str:
        """Read a part of a tensor, from span's first to before its second; returns its name.

        Args:
            tensor: What is read.
            axis: Axis, the batch axis counted.
            span: First index and the one behind the last.
            layer: The layer that reads.
        """
        attributes = frozen_mapping({"axes": (axis,), "starts": (span[0],), "ends": (span[1],)})
        link = _Link("cut", Op.SLICE, attributes=attributes)
        return self._emit(link, (tensor,), f"{layer}.{tensor}.cut{axis}", layer, "")

    def joined(self, tensors: tuple[str, ...], axis: int, name: str) -> str:
        """Put tensors one behind the other; returns the new tensor's name."""
        link = _Link("join", Op.CONCAT, attributes=frozen_mapping({"axis": axis}))
        return self._emit(link, tensors, name, name, "")

    def zeros(self, like: str, shape: Shape, name: str) -> str:
        """Return the name of a tensor of zeros, (channels, positions), for every sample of `like`.

        Made of one value of `like`, so that it has as many samples.
        """
        one = self.cut(like, 1, (0, 1), name)
        for axis in range(2, len(self.shape(like)) + 1):
            one = self.cut(one, axis, (0, 1), name)
        one = self.reshape(one, (1, 1), f"{name}.one")
        blank = _Link("zero", Op.IDENTITY, steps=(Clamp(0, 0),))
        one = self._emit(blank, (one,), f"{name}.zero", name, "")
        pads = (0, 0, *(size - 1 for size in shape))
        link = _Link("zeros", Op.PAD, attributes=frozen_mapping({"pads": pads, "value": 0}))
        return self._emit(link, (one,), name, name, "")

    def add_layer(self, item: IntegerLayer) -> None:
        """Append the nodes of one layer.

        Raises:
            GraphError: Shapes do not fit.
        """
        layer = item.layer
        tensors, links = self._operands(layer)
        links += self._operator_links(item)
        if not links:
            links = [_Link("", Op.IDENTITY)]
        source = " ".join(layer.sources)
        for index, link in enumerate(links):
            last = index == len(links) - 1
            name = layer.tensor if last else f"{layer.name}.{link.suffix}"
            tensors = (self._emit(link, tensors, name, layer.name, source),)

    def finish(self, outputs: Iterable[str], metadata: Mapping[str, Any]) -> QuantizedGraph:
        """Return the graph."""
        return QuantizedGraph(
            name=self.name,
            target="maxim",
            inputs=tuple(self._inputs),
            outputs=tuple(outputs),
            nodes=tuple(self._nodes),
            tensors=frozen_mapping(self._tensors),
            constants=frozen_mapping(self._constants),
            metadata=frozen_mapping(metadata),
        )

    def _emit(
        self, link: _Link, tensors: tuple[str, ...], name: str, layer: str, source: str
    ) -> str:
        inputs = (*tensors, *link.inputs)
        shapes = [self._tensors[tensor].shape for tensor in inputs]
        (shape,) = infer_shapes(link.op, link.attributes, shapes)
        form = link.format or self._tensors[tensors[0]].format
        self._nodes.append(
            QuantizedNode(
                name=name,
                op=link.op,
                inputs=inputs,
                outputs=(name,),
                attributes=link.attributes,
                input_steps=link.input_steps,
                steps=link.steps,
                accumulator=ACCUMULATOR if link.accumulates else None,
                layer=layer,
                source=source,
            )
        )
        self._tensors[name] = QuantizedTensor(name, shape, form)
        return name

    def _read(self, layer: HardwareLayer) -> tuple[str, ...]:
        """Return the layer's inputs with the rows and columns in which it reads them."""
        spatial = layer.input_shape[1:]
        if layer.packed:
            whole = (layer.packed * layer.in_channels, *spatial)
            (tensor,) = (self._viewed(name, whole, layer) for name in layer.inputs)
            return self.split(tensor, layer.packed, layer.name)
        return tuple(
            self._viewed(name, (self.shape(name)[0], *spatial), layer) for name in layer.inputs
        )

    def _viewed(self, tensor: str, shape: Shape, layer: HardwareLayer) -> str:
        if self.shape(tensor) == shape:
            return tensor
        name = f"{layer.name}.{tensor}"
        link = _Link("view", Op.RESHAPE, attributes=frozen_mapping({"shape": shape}))
        return self._emit(link, (tensor,), f"{name}.view", layer.name, "")

    def _operands(self, layer: HardwareLayer) -> tuple[tuple[str, ...], list[_Link]]:
        """Return the tensors that enter the chain of links, and the links up to the operator."""
        tensors = self._read(layer)
        if layer.eltwise is None:
            links = [_Link("concat", Op.CONCAT, attributes=frozen_mapping({"axis": 1}))]
            links = links if len(tensors) > 1 else []
            return tensors, links + ([_pool_link(layer.pool)] if layer.pool else [])
        combine = _Link(
            str(layer.eltwise),
            _ELTWISE_OPS[layer.eltwise],
            steps=_TO_BYTE if layer.eltwise in (Eltwise.ADD, Eltwise.SUB) else (),
        )
        if layer.pool is None:
            return tensors, [combine]
        pool = _pool_link(layer.pool)
        if not layer.pool_first:
            return tensors, [combine, pool]
        pooled = tuple(
            self._emit(pool, (tensor,), f"{layer.name}.pool{index}", layer.name, "")
            for index, tensor in enumerate(tensors)
        )
        return pooled, [combine]

    def _operator_links(self, item: IntegerLayer) -> list[_Link]:
        layer = item.layer
        if item.weights is None:
            return []
        is_linear = layer.operator is Operator.LINEAR
        links = [_Link("flatten", Op.FLATTEN)] if is_linear and len(layer.input_shape) > 1 else []
        weight_scale = Scale.power_of_two(item.weight_frac)
        weight_bits = 2 if item.is_binary else item.weight_bits
        constants = [
            self.add_constant(
                layer.weight or f"{layer.name}.weight",
                item.weights,
                Format(weight_bits, True, weight_scale),
                layer.name,
            )
        ]
        if item.bias is not None:
            name = layer.bias or f"{layer.name}.bias"
            form = Format(8, True, weight_scale)
            constants.append(self.add_constant(name, item.bias, form, layer.name))
        is_abs = layer.activation is Activation.ABS
        wide = Format(32, True, Scale.power_of_two(item.in_frac + item.weight_frac))
        links.append(
            _Link(
                "operator",
                _OPERATOR_OPS[layer.operator],
                tuple(constants),
                _operator_attributes(item),
                input_steps=((), (), (ShiftLeft(BIAS_SHIFT),)) if item.bias is not None else (),
                steps=()
                if layer.wide
                else output_steps(item.right_shift, relu=layer.activation is Activation.RELU),
                format=wide if layer.wide else byte_format(item.out_frac),
                accumulates=True,
            )
        )
        if is_abs:
            links.append(_Link("abs", Op.ABS, steps=(Clamp(None, 127),)))
        return links


def _pool_link(pool: Pool) -> _Link:
    attributes = {"kernel": pool.window, "strides": pool.stride, "dilations": pool.dilation}
    if pool.kind is PoolKind.MAX:
        return _Link("pool", Op.MAX_POOL, attributes=frozen_mapping(attributes))
    divisor = int(np.prod(pool.window))
    return _Link(
        "pool",
        Op.AVG_POOL,
        attributes=frozen_mapping({**attributes, "count_include_pad": False}),
        steps=(Divide(divisor, ROUNDED_POOLS if pool.is_rounded else POOL_ROUNDING), *_TO_BYTE),
    )


def _operator_attributes(item: IntegerLayer) -> Mapping[str, Any]:
    layer = item.layer
    if layer.operator is Operator.LINEAR:
        return frozen_mapping()
    axes = len(layer.kernel)
    transposed = layer.operator is Operator.CONV_TRANSPOSE2D
    attributes: dict[str, Any] = {
        "strides": (TRANSPOSE_STRIDE if transposed else 1,) * axes,
        "pads": layer.pad * 2,
        "dilations": layer.dilation,
        "groups": layer.groups,
    }
    if transposed:
        attributes["output_padding"] = (TRANSPOSE_OUTPUT_PADDING,) * axes
    return frozen_mapping(attributes)
