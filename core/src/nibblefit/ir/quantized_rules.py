"""Rules about codes, formats, steps, accumulators and states of a quantized graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from nibblefit.errors import GraphError
from nibblefit.fixed.arith import INT64_HI, INT64_LO, MAX_SHIFT, extremes
from nibblefit.fixed.formats import Format, Overflow
from nibblefit.fixed.steps import (
    STEP_TYPES,
    Clamp,
    Divide,
    Lookup,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Steps,
    Wrap,
)
from nibblefit.ir.intervals import node_bounds
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.ir.rule import Finding, Rule


def _constants(graph: QuantizedGraph) -> Iterator[Finding]:
    for name, constant in graph.constants.items():
        where = f"constant '{name}'"
        if constant.dtype != np.int64:
            yield Finding(where, f"it is {constant.dtype}; expected int64", "quantize it")
            continue
        tensor = graph.tensors.get(name)
        if tensor is None:
            continue
        if tuple(constant.shape) != tuple(tensor.shape):
            yield Finding(where, f"its shape is {constant.shape}; declared is {tensor.shape}",
                          "declare the full shape; constants have no batch axis")  # fmt: skip
        if not tensor.format.holds(constant):
            lo, hi = extremes(constant)
            yield Finding(
                where,
                f"codes {lo} to {hi} leave {tensor.format.name}, which holds "
                f"{tensor.format.lo} to {tensor.format.hi}",
                "clamp when quantizing",
            )


def _formats(graph: QuantizedGraph) -> Iterator[Finding]:
    for name, tensor in graph.tensors.items():
        problem = _format_problem(graph, name, tensor.format)
        if problem:
            yield Finding(f"tensor '{name}'", problem, "correct its format")


def _format_problem(graph: QuantizedGraph, name: str, fmt: Format) -> str:
    shape = tuple(graph.tensors[name].shape)
    sizes = shape if name in graph.constants else (-1, *shape)
    entries = max(len(fmt.scale), len(fmt.zero_point))
    if fmt.axis is not None and not 0 <= fmt.axis < len(sizes):
        return f"its channel axis is {fmt.axis}; expected 0 to {len(sizes) - 1}"
    if fmt.axis is not None and entries not in (1, sizes[fmt.axis]):
        return f"it has {entries} scales or zero points; axis {fmt.axis} has {sizes[fmt.axis]}"
    if not all(fmt.lo <= zero <= fmt.hi for zero in fmt.zero_point):
        return f"zero point {fmt.zero_point} is no code of {fmt.name}"
    if not fmt.signed and fmt.bits == 64:
        return "64 unsigned bits do not fit int64"
    return ""


def _input_steps(graph: QuantizedGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        if len(node.input_steps) not in (0, len(node.inputs)):
            yield Finding(
                _place(node),
                f"it has {len(node.input_steps)} tuples of input steps for "
                f"{len(node.inputs)} inputs",
                "give one tuple per input, or none",
            )


def _steps(graph: QuantizedGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        for steps in (node.steps, *node.input_steps, *_step_attributes(node)):
            for problem in step_problems(steps):
                yield Finding(_place(node), problem, "see nibblefit.fixed.steps")


def _step_attributes(node: QuantizedNode) -> list[Steps]:
    keys = ("negative", "positive", "gate")
    return [node.attributes[key] for key in keys if key in node.attributes]


def step_problems(steps: Steps) -> list[str]:
    """Return what is wrong with a tuple of steps by itself, in words; empty if nothing."""
    found: list[str] = []
    is_float = False
    for step in steps:
        name = type(step).__name__
        if STEP_TYPES.get(name) is not type(step):
            found.append(f"{name} is not a known step")
            continue
        if isinstance(step, RoundFloat32) != is_float and not name.endswith("Float32"):
            found.append(f"{name} follows a float32 step without RoundFloat32")
        if isinstance(step, RoundFloat32) and not is_float:
            found.append("RoundFloat32 follows no float32 step")
        is_float = name.endswith("Float32") and not isinstance(step, RoundFloat32)
        found += _parameter_problems(step)
    return [*found, "the steps end in float32; expected RoundFloat32 last"] if is_float else found


def _parameter_problems(step: Step) -> Iterator[str]:
    name = type(step).__name__
    for item in fields(step):  # type: ignore[arg-type]
        value = getattr(step, item.name)
        expected = np.float32 if name.endswith("Float32") else np.int64
        if isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype != expected):
            yield f"{name}.{item.name} is {value!r}; expected {np.dtype(expected).name}"
        elif isinstance(value, np.ndarray) and not np.isfinite(value).all():
            yield f"{name}.{item.name} is not finite"
    if isinstance(step, ShiftLeft | ShiftRight):
        lo, hi = extremes(step.bits)
        if lo < 0 or hi > MAX_SHIFT:
            yield f"{name} shifts by {lo} to {hi} bits; expected 0 to {MAX_SHIFT}"
    if isinstance(step, Divide) and extremes(step.divisor)[0] < 1:
        yield f"Divide has the divisor {extremes(step.divisor)[0]}; expected 1 or more"
    if isinstance(step, Clamp) and None not in (step.lo, step.hi) and step.lo > step.hi:  # type: ignore[operator]
        yield f"Clamp runs from {step.lo} to {step.hi}"
    if isinstance(step, Wrap) and not 1 <= step.bits <= 63:
        yield f"Wrap keeps {step.bits} bits; expected 1 to 63"
    if isinstance(step, Lookup) and (step.table.ndim != 1 or step.table.size == 0):
        yield f"Lookup has a table of shape {step.table.shape}; expected one axis"


def _step_shapes(graph: QuantizedGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        shapes = [(node.steps, graph.tensors[name].shape) for name in node.outputs]
        shapes += [(steps, graph.tensors[name].shape)
                   for name, steps in zip(node.inputs, node.input_steps)]  # fmt: skip
        for steps, shape in shapes:
            for step in steps:
                for parameter in _arrays(step):
                    if not _broadcasts(parameter, tuple(shape)):
                        yield Finding(_place(node), f"a parameter of {type(step).__name__} has "
                                      f"shape {parameter}; the value is {tuple(shape)} without "
                                      f"batch axis", "reshape it, as (channels, 1, 1)")  # fmt: skip


def _arrays(step: Step) -> list[tuple[int, ...]]:
    if isinstance(step, Lookup):
        return []
    values = [getattr(step, item.name) for item in fields(step)]  # type: ignore[arg-type]
    return [value.shape for value in values if isinstance(value, np.ndarray)]


def _broadcasts(parameter: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if len(parameter) > len(shape):
        return False
    tail = shape[len(shape) - len(parameter) :]
    return all(p in (1, size) for p, size in zip(parameter, tail, strict=True))


def _states(graph: QuantizedGraph) -> Iterator[Finding]:
    used: dict[str, str] = {}
    for node in graph.nodes:
        if node.op is not Op.CHOOSE_SHIFT:
            continue
        name = node.attributes["state"]
        if name not in graph.states:
            yield Finding(_place(node), f"state '{name}' does not exist", "add its initial value")
        elif graph.states[name].shape != (3,) or graph.states[name].dtype != np.int64:
            yield Finding(_place(node), f"state '{name}' has shape {graph.states[name].shape} and "
                          f"type {graph.states[name].dtype}; expected three int64: lowest, "
                          f"highest, frames seen", "correct it")  # fmt: skip
        if name in used:
            yield Finding(_place(node), f"state '{name}' belongs to '{used[name]}' already",
                          "give every node a state of its own")  # fmt: skip
        used[name] = node.name


def _accumulators(graph: QuantizedGraph) -> Iterator[Finding]:
    try:
        bounds = node_bounds(graph)
    except GraphError as error:
        yield Finding("graph", error.what, error.hint)
        return
    for node in graph.nodes:
        width = node.accumulator
        if width is None or width.overflow is not Overflow.FORBID:
            continue
        lo, hi = bounds[node.name].accumulator
        needed = max((~lo if lo < 0 else lo).bit_length(), hi.bit_length()) + 1
        if needed > width.bits:
            yield Finding(_place(node), f"the accumulator may reach {lo} to {hi} and needs "
                          f"{needed} bits; the target has {width.bits}", "use fewer input channels"
                          ", smaller weights, or a narrower input format")  # fmt: skip


def _widths(graph: QuantizedGraph) -> Iterator[Finding]:
    bounds = node_bounds(graph)
    for node in graph.nodes:
        lo, hi = bounds[node.name].widest
        if lo < INT64_LO or hi > INT64_HI:
            yield Finding(_place(node), f"its integers may reach {lo} to {hi}, which 64 bits "
                          "do not hold", "use narrower multipliers or shift earlier")  # fmt: skip


def _output_ranges(graph: QuantizedGraph) -> Iterator[Finding]:
    bounds = node_bounds(graph)
    for node in graph.nodes:
        lo, hi = bounds[node.name].output
        for name in node.outputs:
            fmt = graph.tensors[name].format
            if lo < fmt.lo or hi > fmt.hi:
                yield Finding(
                    _place(node),
                    f"'{name}' may reach {lo} to {hi}; its format "
                    f"{fmt.name} holds {fmt.lo} to {fmt.hi}",
                    "end its steps in a Clamp or a Wrap, or widen the format",
                )


def _place(node: QuantizedNode) -> str:
    return f"node '{node.name}' ({node.op.value})"


_STRUCTURE = ("order.topological", "tensors.declared", "attributes.valid", "shapes.consistent",
              "parameters.constant", "names.unique")  # fmt: skip
_VALUES = (*_STRUCTURE, "constants.codes", "steps.count", "steps.valid", "steps.shape",
           "states.exist")  # fmt: skip

RULES: tuple[Rule, ...] = (
    Rule("constants.codes", "Constants are int64 codes of their format.", _constants),
    Rule("formats.valid", "Scales and zero points fit the tensor.", _formats,
         ("tensors.declared",)),
    Rule("steps.count", "Input steps are given for every input or for none.", _input_steps),
    Rule("steps.valid", "Steps are known, in range, and leave float32 by RoundFloat32.", _steps),
    Rule("steps.shape", "Parameters of steps broadcast against their value.", _step_shapes,
         ("tensors.declared", "order.topological", "steps.count", "steps.valid")),
    Rule("states.exist", "Every state exists and has one owner.", _states, ("attributes.valid",)),
    Rule("accumulator.proven", "No sum can leave an accumulator that forbids overflow.",
         _accumulators, _VALUES),
    Rule("values.in_64_bits", "No sum and no step can leave 64 bits.", _widths,
         (*_VALUES, "accumulator.proven")),
    Rule("output.in_format", "No output code can leave its format.", _output_ranges,
         (*_VALUES, "accumulator.proven")),
)  # fmt: skip
