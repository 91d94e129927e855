"""A quantized network in XIR's form, built operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph, Node, Shape, frozen_mapping
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.quantize.formats import core_format, parameter_codes
from nibblefit_vitis.settings import Kind as TensorKind
from nibblefit_vitis.settings import NetworkSetting, TensorSetting
from nibblefit_vitis.simulation.effective import effective
from nibblefit_vitis.writing.naming import OriginalNames
from nibblefit_vitis.xir.attributes import (
    const_attributes,
    data_attributes,
    fix_attributes,
    numbers,
)
from nibblefit_vitis.xir.graph import Attribute, XirOperator, XirTensor
from nibblefit_vitis.xir.names import XirNames, cleaned
from nibblefit_vitis.xir.parameters import plain_position

#: Axes of ours that lie along the axes of an image in XIR: batch, height, width, channels.
LAST = (0, 2, 3, 1)

#: Parameters keep their precision until they are rounded to codes.
Array = npt.NDArray[np.floating[Any]]
Arguments = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Value:
    """Where a tensor of ours is found.

    Attributes:
        operator: XIR operator that makes it.
        shape: Ours, with batch 1.
        order: Axis of ours along every axis of XIR's.
        image: Shape of the image whose values, channels last, this vector is; empty: any other
            tensor. Only dense layers, whose weights can be reordered, read such a vector.
    """

    operator: str
    shape: Shape
    order: tuple[int, ...]
    image: Shape = ()

    @property
    def xir_shape(self) -> Shape:
        """Shape of XIR's tensor."""
        return tuple(self.shape[axis] for axis in self.order)

    @property
    def is_flat(self) -> bool:
        """Whether the elements lie in our order in memory: only axes of size 1 moved."""
        kept = [axis for axis in self.order if self.shape[axis] > 1]
        return kept == sorted(kept)


def usual_order(rank: int) -> tuple[int, ...]:
    """Return the order in which tensors of a rank are kept: images channels-last."""
    return LAST if rank == 4 else tuple(range(rank))


class Builder:
    """Collects operators.

    Attributes:
        graph: The network: prepared, float, batch norms folded.
        formats: What is quantized how.
        setting: How parameters are rounded.
        operators: What was built, producers first.
        originals: XIR operator → tensor or constant of ours that it holds.
        layers: XIR operator → node of ours that it ends.
        readers: Tensor of ours → nodes that read it.
    """

    def __init__(self, graph: Graph, formats: NetworkFormats, setting: NetworkSetting) -> None:
        self.graph, self.formats, self.setting = graph, formats, setting
        self.operators: list[XirOperator] = []
        self.originals: dict[str, str] = {}
        self.layers: dict[str, str] = {}
        self.names = XirNames(graph.name)
        self.readers = graph.consumers()
        self._parameters = OriginalNames(graph, self.names.prefix).parameters
        self._values: dict[str, Value] = {}
        self._constants: dict[tuple[str, str], str] = {}
        self._transposed: dict[tuple[str, tuple[int, ...]], Value] = {}

    def add_input(self, name: str, index: int) -> None:
        """Add a graph input and its ``fix``."""
        shape = (1, *self.graph.shapes[name])
        value = Value(self.names.of(f"input_{index}"), shape, usual_order(len(shape)))
        self._append(value.operator, "data", {}, data_attributes(value.xir_shape), value.xir_shape)
        self.finish(name, value)

    def name_of(self, node: Node) -> str:
        """Return the XIR name of a node; parts of it add to this one."""
        name = self.names.of(node.name)
        self.layers[name] = node.name
        return name

    def emit(  # noqa: PLR0917 - an operator has as many parts
        self, name: str, kind: str, arguments: Arguments, attributes: Mapping[str, Attribute],
        shape: Shape, order: tuple[int, ...] | None = None,
    ) -> Value:  # fmt: skip
        """Add an operator that makes a tensor of `shape` (ours, with batch)."""
        value = Value(name, shape, usual_order(len(shape)) if order is None else order)
        self._append(name, kind, arguments, attributes, value.xir_shape)
        return value

    def finish(self, tensor: str, value: Value) -> None:
        """Say where a tensor of ours is found, after its ``fix`` where it has a format."""
        self.originals.setdefault(value.operator, tensor)
        form = self.formats.outputs.get(tensor)
        if form is not None:
            plain = plain_position(form, f"tensor '{tensor}'")
            value = self.fixed(value, f"{value.operator}_fix", plain.position, plain.bits)
        self._values[tensor] = value

    def alias(self, tensor: str, source: str) -> None:
        """Say that a tensor is another one, perhaps quantized further."""
        value = self._values[source]
        form = self.formats.outputs.get(tensor)
        if form is not None and form != self.formats.outputs.get(source):
            plain = plain_position(form, f"tensor '{tensor}'")
            value = self.fixed(value, self.names.of(f"{tensor}_fix"), plain.position, plain.bits)
            self.originals[value.operator] = tensor
        self._values[tensor] = value

    def annotate(self, operator: str, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes to the tensor of the operator that was added last."""
        last = self.operators[-1]
        if last.name != operator:
            raise ValueError(f"'{operator}' was not added last")
        tensor = replace(last.tensor, attributes=frozen_mapping(attributes))
        self.operators[-1] = replace(last, tensor=tensor)

    def add_output(self, tensor: str) -> str:
        """Return the operator that makes an output of the network, images channels-last."""
        return self.usual(self._values[tensor]).operator

    def fixed(self, value: Value, name: str, position: int, bits: int) -> Value:
        """Add a ``fix`` behind a value."""
        return self.emit(
            self.names.fresh(name), "fix", {"input": (value.operator,)},
            fix_attributes(position, bits), value.shape, value.order,
        )  # fmt: skip

    def value(self, node: Node, index: int) -> Value:
        """Return an input of a node, after an extra ``fix`` where the node has one."""
        name = node.inputs[index]
        if name in self.graph.constants:
            return self.loose_constant(node, name)
        value = self._values[name]
        form = self.formats.inputs.get(node.name)
        if form is None:
            return value
        plain = plain_position(form, f"the input of layer '{node.name}'")
        wanted = f"{self.names.prefix}__{cleaned(node.name)}_pre_fix_i{index}"
        return self.fixed(value, wanted, plain.position, plain.bits)

    def usual(self, value: Value) -> Value:
        """Return a value in the usual order of its rank, transposed if it is in another."""
        return self.ordered(value, usual_order(len(value.shape)))

    def plain(self, value: Value) -> Value:
        """Return a value in our own order of axes."""
        return self.ordered(value, tuple(range(len(value.shape))))

    def ordered(self, value: Value, order: tuple[int, ...]) -> Value:
        """Return a value with its axes in an order, through one ``transpose`` at most."""
        if value.order == order:
            return value
        key = (value.operator, order)
        if key not in self._transposed:
            moves = tuple(value.order.index(axis) for axis in order)
            self._transposed[key] = self.emit(
                self.names.fresh(f"{value.operator}_t"), "transpose",
                {"input": (value.operator,)}, {"order": numbers(moves)}, value.shape, order,
            )  # fmt: skip
        return self._transposed[key]

    def parameter(self, node: Node, index: int,
                  arranged: Callable[[Array], Array] = lambda array: array,
                  arrangement: str = "") -> str:  # fmt: skip
        """Return the operator of a node's weights or bias, arranged as XIR has them.

        `arrangement` tells ways apart that one operator arranges equal shapes in.
        """
        name = node.inputs[index]
        wanted = arranged(np.asarray(self.graph.constants[name]))
        key = (name, f"{node.op.value}:{index}:{wanted.shape}:{arrangement}")
        if key not in self._constants:
            kind = TensorKind.BIAS if index == 2 else TensorKind.WEIGHTS
            own = effective(self.setting, node.name, kind)
            self._constants[key] = self._constant(name, wanted, own)
        return self._constants[key]

    def loose_constant(self, node: Node, name: str) -> Value:
        """Return a constant operand, such as one that is added to a tensor."""
        array: Array = np.asarray(self.graph.constants[name])
        rank = max(len(self.graph.shapes[node.output]) + 1, array.ndim + 1)
        shape = (1,) * (rank - array.ndim) + array.shape
        order = usual_order(rank)
        key = (name, f"operand:{rank}")
        if key not in self._constants:
            arranged = array.reshape(shape).transpose(order)
            own = effective(self.setting, node.name, TensorKind.WEIGHTS)
            self._constants[key] = self._constant(name, arranged, own)
        return Value(self._constants[key], shape, order)

    def literal(self, name: str, array: Array) -> str:
        """Add a constant that is no parameter, and return its operator."""
        return self._literal(self.names.fresh(name), array)

    def refuse(self, node: Node, reason: str, hint: str) -> UnsupportedError:
        """Return the error for a node that XIR, or the vendor's compiler, has no form for."""
        return UnsupportedError(
            f"layer '{node.name}' ({node.op.value}) cannot be written to an xmodel: {reason}",
            hint=hint,
        )

    def _constant(self, name: str, array: Array, own: TensorSetting) -> str:
        form = self.formats.params.get(name)
        made = self.names.fresh(cleaned(self._parameters[name]))
        self.originals[made] = name
        if form is None:
            return self._literal(made, array)
        plain = plain_position(form, f"parameter '{name}'")
        codes = parameter_codes(array, plain, own, name)
        exact = dequantize(codes, core_format(plain, name)).astype(np.float32)
        held = Value(self._literal(made, exact), exact.shape, tuple(range(exact.ndim)))
        return self.fixed(held, f"{made}_fix", plain.position, plain.bits).operator

    def _literal(self, name: str, array: Array) -> str:
        content = np.ascontiguousarray(array, "<f4")
        self._append(name, "const", {}, const_attributes(content.shape, content.tobytes()),
                     content.shape)  # fmt: skip
        return name

    def _append(self, name: str, kind: str, arguments: Arguments,
                attributes: Mapping[str, Attribute], shape: Shape) -> None:  # fmt: skip
        operands = frozen_mapping({key: tuple(names) for key, names in arguments.items()})
        self.operators.append(
            XirOperator(name, kind, frozen_mapping(attributes), operands, XirTensor(name, shape))
        )
