"""The judge: executes a quantized graph in exact integers and keeps every tensor.

It follows `nibblefit.ir.quantized` literally. Where it and any faster execution differ, it is
right by definition, so it stays readable rather than fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nibblefit.errors import GraphError, InputError, MismatchError
from nibblefit.fixed import arith
from nibblefit.fixed.apply import apply_steps, lookup
from nibblefit.fixed.formats import Accumulator, IntArray, Overflow, Rounding
from nibblefit.fixed.operators import activation, pooling, softmax
from nibblefit.fixed.operators.runtime_shift import RangeTracker, choose_shift, shift_right
from nibblefit.ir.attributes import window_of
from nibblefit.ir.execute import SHARED_FORMULAS, parameters_of
from nibblefit.ir.graph import Attributes, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode

Tensors = dict[str, IntArray]


@dataclass(frozen=True, slots=True)
class Execution:
    """Everything one execution produced.

    Attributes:
        tensors: Every tensor by name, inputs included, batch axis first, int64.
        outputs: The graph's outputs, in its order.
        state: Every state after the last image of the batch.
    """

    tensors: Mapping[str, IntArray]
    outputs: Mapping[str, IntArray]
    state: Mapping[str, IntArray]


def run(
    graph: QuantizedGraph,
    inputs: Mapping[str, IntArray],
    state: Mapping[str, IntArray] | None = None,
) -> Execution:
    """Execute the graph on a batch of input codes.

    Args:
        graph: A legal quantized graph; see `nibblefit.ir.legal`.
        inputs: By name, batch axis first; any integer dtype.
        state: States to start from; the graph's own initial states where left out.

    Raises:
        InputError: An input is missing, has another shape, or holds codes outside its format.
        MismatchError: An accumulator or an output code leaves its declared width.
    """
    tensors = _checked_inputs(graph, inputs)
    batch = len(next(iter(tensors.values()), ()))
    states = {**graph.states, **(state or {})}
    for node in graph.nodes:
        try:
            results = run_node(graph, node, tensors, states)
        except (OverflowError, GraphError, ValueError, KeyError) as error:
            raise MismatchError(_place(node, str(error))) from error
        for name, result in zip(node.outputs, results, strict=True):
            tensors[name] = _checked_output(graph, node, name, result, batch)
    outputs = frozen_mapping({name: tensors[name] for name in graph.outputs})
    return Execution(frozen_mapping(tensors), outputs, frozen_mapping(states))


def run_node(
    graph: QuantizedGraph,
    node: QuantizedNode,
    tensors: Mapping[str, IntArray],
    states: dict[str, IntArray],
) -> list[IntArray]:
    """Execute the four stages of one node; updates `states` where the node keeps one."""
    operands = [
        _operand(graph, node, index, name, tensors) for index, name in enumerate(node.inputs)
    ]
    if node.op is Op.CHOOSE_SHIFT:
        results: Sequence[IntArray] = _choose_shift(node.attributes, operands[0], states)
    else:
        results = FORMULAS[node.op](node.attributes, operands)
    return [apply_steps(_accumulated(node.accumulator, raw), node.steps) for raw in results]


def _operand(
    graph: QuantizedGraph, node: QuantizedNode, index: int, name: str,
    tensors: Mapping[str, IntArray],
) -> IntArray:  # fmt: skip
    """Return one input after its input steps; constants that are no parameters get a batch of 1."""
    steps = node.steps_of_input(index)
    if name not in graph.constants:
        return apply_steps(tensors[name], steps)
    constant = apply_steps(graph.constants[name][None], steps)
    return constant[0] if index in parameters_of(node.op) else constant


def _accumulated(accumulator: Accumulator | None, raw: IntArray) -> IntArray:
    """Return the exact result in the declared accumulator; see `Accumulator`."""
    if accumulator is None or accumulator.bits == 64:
        return raw
    bits = accumulator.bits
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    match accumulator.overflow:
        case Overflow.WRAP:
            return arith.wrap(raw, bits)
        case Overflow.SATURATE:
            return arith.saturate(raw, lo, hi)
        case Overflow.FORBID:
            low, high = arith.extremes(raw)
            if low < lo or high > hi:
                worst = low if low < lo else high
                raise OverflowError(
                    f"the accumulator reaches {worst}; its {bits} bits hold {lo} to {hi}"
                )
            return raw


def _checked_inputs(graph: QuantizedGraph, inputs: Mapping[str, Any]) -> Tensors:
    tensors: Tensors = {}
    for name in graph.inputs:
        if name not in inputs:
            raise InputError(f"input '{name}' is missing; expected {', '.join(graph.inputs)}")
        raw, tensor = np.asarray(inputs[name]), graph.tensors[name]
        if raw.dtype.kind not in "iu":
            raise InputError(
                f"input '{name}' is {raw.dtype}; expected integer codes",
                hint="nibblefit.fixed.quantize makes codes of real values",
            )
        if raw.shape[1:] != tensor.shape or raw.ndim == 0:
            raise InputError(f"input '{name}' has shape {raw.shape}; expected (batch, "
                             f"{', '.join(map(str, tensor.shape))})")  # fmt: skip
        if not tensor.format.holds(raw):
            low, high = arith.extremes(raw)
            raise InputError(f"input '{name}' holds codes {low} to {high}; {tensor.format.name} "
                             f"holds {tensor.format.lo} to {tensor.format.hi}")  # fmt: skip
        tensors[name] = raw.astype(np.int64)
    if len({len(raw) for raw in tensors.values()}) > 1:
        raise InputError("the inputs have different batch sizes")
    return tensors


def _checked_output(
    graph: QuantizedGraph, node: QuantizedNode, name: str, raw: IntArray, batch: int
) -> IntArray:
    tensor = graph.tensors[name]
    if raw.shape[1:] != tensor.shape or len(raw) not in (1, batch):
        raise MismatchError(_place(node, f"tensor '{name}' came out as {raw.shape[1:]}; the "
                                         f"graph says {tensor.shape}"))  # fmt: skip
    if not tensor.format.holds(raw):
        low, high = arith.extremes(raw)
        raise MismatchError(
            _place(node, f"tensor '{name}' holds codes {low} to {high}; its format "
                         f"{tensor.format.name} holds {tensor.format.lo} to {tensor.format.hi}"),
            hint="end its steps in a Clamp or a Wrap, or declare a wider format",
        )  # fmt: skip
    # A result made of constants only is the same in every image.
    return raw if len(raw) == batch else np.broadcast_to(raw, (batch, *raw.shape[1:]))


def _place(node: QuantizedNode, what: str) -> str:
    return f"node '{node.name}' ({node.op.value}): {what}"


def _choose_shift(
    attributes: Attributes, x: IntArray, states: dict[str, IntArray]
) -> tuple[IntArray]:
    keys = ("bits", "signed", "history_first", "history", "first_frames", "margin")
    tracker = RangeTracker(**{key: attributes[key] for key in keys if key in attributes})
    name = attributes["state"]
    shifts, states[name] = choose_shift(x, tracker, states[name])
    return (shifts,)


def _avg_pool(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    return (pooling.sum_pool(inputs[0], window_of(attributes, tuple(attributes["kernel"]))),)


def _leaky_relu(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    positive = attributes.get("positive", ())
    return (activation.leaky_relu(inputs[0], attributes["negative"], positive),)


def _prelu(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    positive = attributes.get("positive", ())
    return (activation.prelu(inputs[0], inputs[1], attributes["negative"], positive),)


def _hard_sigmoid(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    return (activation.hard_sigmoid(inputs[0], attributes["three"], attributes["six"]),)


def _hard_swish(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    three, six, gate = attributes["three"], attributes["six"], attributes.get("gate", ())
    return (activation.hard_swish(inputs[0], three, six, gate),)


def _softmax(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    rounding = Rounding(attributes["rounding"])
    axis, numerator = attributes["axis"], attributes["numerator"]
    return (softmax.softmax(inputs[0], inputs[1], axis, numerator, rounding),)


def _shift_right(attributes: Attributes, inputs: Sequence[IntArray]) -> Sequence[IntArray]:
    return (shift_right(inputs[0], inputs[1], Rounding(attributes["rounding"])),)


#: Every operator of the quantized graph except CHOOSE_SHIFT, which has a state.
FORMULAS: Mapping[Op, Callable[[Attributes, Sequence[IntArray]], Sequence[IntArray]]] = {
    **SHARED_FORMULAS,
    Op.AVG_POOL: _avg_pool,
    Op.GLOBAL_AVG_POOL: lambda _, i: (pooling.global_sum_pool(i[0]),),
    Op.LEAKY_RELU: _leaky_relu,
    Op.PRELU: _prelu,
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: _hard_swish,
    Op.TABLE: lambda a, i: (lookup(i[1], a["lowest"], i[0]),),
    Op.SOFTMAX: _softmax,
    Op.SHIFT_RIGHT: _shift_right,
}
