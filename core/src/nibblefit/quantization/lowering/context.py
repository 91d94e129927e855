"""The integer graph while it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nibblefit.fixed.formats import Format, IntArray, Rounding
from nibblefit.fixed.steps import Steps
from nibblefit.ir.graph import Graph, Node, Shape, frozen_mapping
from nibblefit.ir.numerics import Numerics, RequantRule
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import Placement, QuantizedNode, QuantizedTensor
from nibblefit.quantization.assign import Assignment
from nibblefit.quantization.factors import Factor, finish
from nibblefit.quantization.units import Output, Unit


class Lowering:
    """Collects nodes, tensors and constants of a quantized graph.

    Attributes:
        graph: The folded float graph.
        numerics: The target's arithmetic.
        assignment: All formats and codes.
    """

    def __init__(self, graph: Graph, numerics: Numerics, assignment: Assignment) -> None:
        self.graph, self.numerics, self.assignment = graph, numerics, assignment
        self.nodes: list[QuantizedNode] = []
        self.tensors: dict[str, QuantizedTensor] = {}
        self.constants: dict[str, IntArray] = {}
        for name in graph.inputs:
            self._declare(name, graph.shapes[name], assignment.tensors[name])

    def operand(self, unit: Unit, place: int = 0) -> Format:
        """Return the format of an input of the unit's node."""
        return self.assignment.operand(unit.node, place)

    def output(self, unit: Unit) -> Format:
        """Return the format of the unit's output."""
        return self.assignment.tensors[unit.tensors[0]]

    def requant(self, unit: Unit) -> RequantRule:
        """Return how sums become the codes of the unit's output."""
        rule = self.numerics.requant
        return replace(rule, rounding=self.rounding(unit, rule.rounding))

    def rounding(self, unit: Unit, usual: Rounding) -> Rounding:
        """Return the rounding into the unit's output, `usual` where it has none of its own."""
        return self.assignment.roundings.get(unit.node.name, usual)

    def rank(self, unit: Unit) -> int:
        """Return the number of axes of the unit's output, batch axis left out."""
        return len(self.graph.shapes[unit.tensors[0]])

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor or constant of the float graph."""
        if name in self.graph.constants:
            return tuple(self.graph.constants[name].shape)
        return self.graph.shapes[name]

    def factor(self, fmt: Format, unit: Unit) -> Factor:
        """Return a format's scale, shaped to broadcast against the unit's output."""
        return Factor.of_scale(fmt.scale, fmt.axis, self.rank(unit))

    def inputs(self, node: Node) -> tuple[str, ...]:
        """Return the names of a node's inputs, declaring the constants among them."""
        return tuple(
            self.constant(name, node, place) if name in self.graph.constants else name
            for place, name in enumerate(node.inputs)
        )

    def constant(self, name: str, node: Node, place: int) -> str:
        """Declare the codes of a constant operand.

        Nodes that share a constant share its codes; where their codes differ, the later one gets
        a name of its own.
        """
        codes = self.assignment.constants[node.name, place]
        known = self.constants.get(name)
        if known is not None:
            same = self.tensors[name].format == codes.format and np.array_equal(known, codes.values)
            name = name if same else f"{name}@{node.name}"
        return self.declare_constant(name, codes.values, codes.format)

    def declare_constant(self, name: str, values: IntArray, fmt: Format) -> str:
        """Add a constant and return its name."""
        frozen = values
        if values.dtype != np.int64 or values.flags.writeable:
            frozen = np.array(values, np.int64)
            frozen.flags.writeable = False
        self.constants[name] = frozen
        self._declare(name, tuple(frozen.shape), fmt)
        return name

    def add(self, unit: Unit, *, op: Op | None = None, inputs: Sequence[str] | None = None,
            attributes: Mapping[str, Any] | None = None, input_steps: Sequence[Steps] = (),
            steps: Steps = (), sums: bool = False) -> None:  # fmt: skip
        """Add the unit's node and declare its outputs.

        What is left out comes from the unit's float node. `sums` means that the operator's exact
        result must fit the target's accumulator.
        """
        node, numerics = unit.node, self.numerics
        names = self.inputs(node) if inputs is None else tuple(inputs)
        aligned = (*input_steps, *[()] * (len(names) - len(input_steps)))
        on_host = node.op in numerics.host_operators - numerics.operators
        for name in unit.tensors:
            self._declare(name, self.graph.shapes[name], self.assignment.tensors[name])
        self.nodes.append(
            QuantizedNode(
                node.name,
                op or node.op,
                names,
                unit.tensors,
                frozen_mapping(node.attributes if attributes is None else attributes),
                aligned if any(aligned) else (),
                steps,
                numerics.accumulator if sums and not on_host else None,
                Placement.HOST if on_host else Placement.ACCELERATOR,
                unit.layer,
                node.source,
            )
        )

    def finish(self, unit: Unit) -> Steps:
        """Return a unit's last steps: zero point, saturation, absorbed rectifiers.

        An accumulator that stays raw is only rectified.
        """
        lo, hi = rectified(unit.rectifiers, self.output(unit))
        if unit.output is Output.RAW and lo is None and hi is None:
            return ()
        return self.saturated(unit, lo, hi)

    def saturated(self, unit: Unit, lo: int | None = None, hi: int | None = None) -> Steps:
        """Return the steps to the output's zero point and into its codes, within given bounds."""
        lowest = self.assignment.lowest.get(unit.tensors[0])
        bounds = [bound for bound in (lo, lowest) if bound is not None]
        return finish(self.output(unit), max(bounds, default=None), hi)

    def _declare(self, name: str, shape: Shape, fmt: Format) -> None:
        self.tensors[name] = QuantizedTensor(name, shape, fmt)


def rectified(rectifiers: Sequence[Node], fmt: Format) -> tuple[int | None, int | None]:
    """Return the codes of the tightest bounds of RELU and CLIP nodes; None where open."""
    lo: int | None = None
    hi: int | None = None
    for node in rectifiers:
        low = 0.0 if node.op is Op.RELU else node.attributes.get("lo")
        high = None if node.op is Op.RELU else node.attributes.get("hi")
        if low is not None:
            lo = _code(low, fmt) if lo is None else max(lo, _code(low, fmt))
        if high is not None:
            hi = _code(high, fmt) if hi is None else min(hi, _code(high, fmt))
    return lo, hi


def _code(value: float, fmt: Format) -> int:
    if value == 0:
        return fmt.zero_point[0]
    code = np.rint(value / fmt.scale.values()[0]) + fmt.zero_point[0]
    return int(np.clip(code, -(2.0**62), 2.0**62))
