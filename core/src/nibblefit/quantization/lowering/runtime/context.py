"""The integer graph while it grows, with an exponent per tensor of changing scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nibblefit.fixed.formats import Accumulator, Format, IntArray, Scale
from nibblefit.fixed.steps import Add, Clamp, Mul, ShiftLeft, Steps
from nibblefit.ir.graph import Graph, Shape, frozen_mapping
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import Placement, QuantizedNode
from nibblefit.quantization.assign import Assignment
from nibblefit.quantization.lowering.context import Lowering, rectified
from nibblefit.quantization.units import Unit

#: Largest distance of a frame's scale from the calibrated one, in bits, either way.
REACH = 12
#: Metadata key: tensor → name of its exponent tensor.
EXPONENTS = "frame_exponents"
#: Shifts, exponents and amounts are small numbers in bytes.
SMALL = Format(8, True)
#: Shift amounts that an operator takes.
LEGAL = Clamp(0, 62)
_NEGATE = Mul(-1)


@dataclass(frozen=True, slots=True)
class Wide:
    """Sums before requantization.

    Attributes:
        name: The tensor.
        step: Real value of one of its units where the exponent is 0.
        exponent: Name of its exponent; empty if its scale never changes.
    """

    name: str
    step: float
    exponent: str


class RuntimeLowering(Lowering):
    """A lowering that also keeps exponents, states and facts about both.

    Attributes:
        exponents: Tensor → name of its exponent; tensors of fixed scale are missing.
        states: Running ranges by name: lowest, highest, frames seen.
    """

    def __init__(self, graph: Graph, numerics: Numerics, assignment: Assignment) -> None:
        super().__init__(graph, numerics, assignment)
        self.exponents: dict[str, str] = {}
        self.states: dict[str, IntArray] = {}

    def step_of(self, name: str) -> float:
        """Return the real value of one unit of a tensor that is declared."""
        return float(self.tensors[name].format.scale.values()[0])

    def node(self, unit: Unit, op: Op, inputs: Sequence[str], output: str, fmt: Format, *,
             shape: Shape | None = None, attributes: Mapping[str, Any] | None = None,
             input_steps: Sequence[Steps] = (), steps: Steps = (),
             accumulator: Accumulator | None = None,
             placement: Placement = Placement.ACCELERATOR, name: str = "") -> str:  # fmt: skip
        """Add a node of a unit's layer with one output, and return the output's name.

        The node is called as its output unless it has a `name`. `shape` is that of one exponent
        where left out.
        """
        self._declare(output, (1,) if shape is None else shape, fmt)
        aligned = (*input_steps, *[()] * (len(inputs) - len(input_steps)))
        self.nodes.append(
            QuantizedNode(
                name or output, op, tuple(inputs), (output,), frozen_mapping(attributes or {}),
                aligned if any(aligned) else (), steps, accumulator, placement, unit.layer,
                unit.node.source,
            )
        )  # fmt: skip
        return output

    def requantize(self, unit: Unit, sums: Wide, shape: Shape) -> None:
        """Add the nodes that bring sums to the unit's output: range, exponent, shift."""
        out, rule = self.output(unit), self.numerics.requant
        nominal = nominal_shift(float(out.scale.values()[0]), sums.step)
        fmt = replace(out, scale=Scale.real(sums.step * 2.0**nominal), zero_point=(0,), axis=None)
        name, state = unit.tensors[0], f"{unit.node.name}:range"
        # What a simulation run on the calibration data leaves behind: the range that fits exactly.
        self.states[state] = _frozen([fmt.lo << nominal, fmt.hi << nominal, 1])
        tracked = {
            "bits": fmt.bits, "signed": fmt.signed, "history_first": rule.history_first,
            "history": rule.history, "first_frames": rule.first_frames, "margin": rule.margin,
            "state": state,
        }  # fmt: skip
        chosen = self.node(unit, Op.CHOOSE_SHIFT, [sums.name], f"{unit.node.name}:shift", SMALL,
                           attributes=tracked)  # fmt: skip
        reach = (Add(-nominal), Clamp(-REACH, REACH))
        exponent = self._sum(unit, chosen, sums.exponent, f"{unit.node.name}:exponent", reach)
        amount = self._difference(unit, exponent, sums.exponent, f"{unit.node.name}:amount",
                                  (Add(nominal), LEGAL))  # fmt: skip
        lo, _ = rectified(unit.rectifiers, fmt)
        self.shifted(unit, sums.name, amount, name, fmt, shape=shape,
                     clamp=Clamp(fmt.lo if lo is None else max(lo, fmt.lo), fmt.hi),
                     called=f"{unit.node.name}:codes")  # fmt: skip
        self.exponents[name] = exponent
        self.assignment.tensors[name] = fmt

    def shifted(self, unit: Unit, x: str, amount: str, output: str, fmt: Format, *, shape: Shape,
                clamp: Clamp | None = None, x_steps: Steps = (), amount_steps: Steps = (),
                called: str = "") -> str:  # fmt: skip
        """Add a right shift by an amount per frame, rounded as the target rounds."""
        return self.node(
            unit, Op.SHIFT_RIGHT, [x, amount], output, fmt, shape=shape,
            attributes={"rounding": self.numerics.requant.rounding.value},
            input_steps=[x_steps, amount_steps], steps=(clamp,) if clamp else (), name=called,
        )  # fmt: skip

    def _sum(self, unit: Unit, a: str, b: str, name: str, steps: Steps) -> str:
        operands = [a, b] if b else [a]
        return self.node(unit, Op.ADD if b else Op.IDENTITY, operands, name, SMALL, steps=steps)

    def _difference(self, unit: Unit, a: str, b: str, name: str, steps: Steps) -> str:
        operands = [a, b] if b else [a]
        return self.node(unit, Op.SUB if b else Op.IDENTITY, operands, name, SMALL, steps=steps)

    def sum_of_exponents(self, unit: Unit, exponents: Sequence[str]) -> str:
        """Return the exponent of a product."""
        known = [exponent for exponent in exponents if exponent]
        if len(known) < 2:
            return known[0] if known else ""
        return self.node(unit, Op.ADD, known, f"{unit.node.name}:product_exponent", SMALL,
                         steps=(Clamp(-2 * REACH, 2 * REACH),))  # fmt: skip

    def largest_exponent(self, unit: Unit, exponents: Sequence[str]) -> str:
        """Return the largest of some exponents; an empty one, of a fixed scale, counts as 0."""
        different = list(dict.fromkeys(exponents))
        largest = next((exponent for exponent in different if exponent), "")
        if not largest or len(different) == 1:
            return largest
        base = f"{unit.node.name}:largest"
        for place, other in enumerate(name for name in different if name != largest):
            # max(a, b) = b + max(a − b, 0)
            lead = self._difference(unit, largest, other, f"{base}:lead{place}", (Clamp(0, 127),))
            largest = self._sum(unit, lead, other, f"{base}{place}", (Clamp(-128, 127),))
        return largest

    def distance(self, unit: Unit, largest: str, exponent: str, place: int) -> str:
        """Return by how much an operand must be shifted to meet the largest exponent."""
        return self._difference(unit, largest, exponent, f"{unit.node.name}:distance{place}",
                                (LEGAL,))  # fmt: skip

    def decode(self, unit: Unit, codes: str, output: str, *, extra_bits: int, bits: int,
               shape: Shape) -> str:  # fmt: skip
        """Add the exact way from codes of changing scale to wide codes of one fixed scale.

        Args:
            unit: The unit it belongs to.
            codes: Tensor with an exponent.
            output: Name of the result.
            extra_bits: How much finer than the calibrated step the result's step is.
            bits: Width of the result, which saturates.
            shape: Shape of one image.
        """
        fmt = self.tensors[codes].format
        wide = Format(bits, fmt.signed, Scale.real(self.step_of(codes) * 2.0**-extra_bits))
        amount = self.node(unit, Op.IDENTITY, [self.exponents[codes]], f"{output}:decoding", SMALL,
                           input_steps=[(_NEGATE, Add(REACH))], steps=(LEGAL,),
                           placement=Placement.HOST)  # fmt: skip
        return self.node(
            unit, Op.SHIFT_RIGHT, [codes, amount], output, wide, shape=shape,
            attributes={"rounding": self.numerics.requant.rounding.value},
            input_steps=[(ShiftLeft(extra_bits + REACH),)], steps=(Clamp(wide.lo, wide.hi),),
            placement=Placement.HOST, name=f"{output}:decoded",
        )  # fmt: skip

    def redirect(self, old: str, new: str) -> None:
        """Have the last node read another tensor."""
        last = self.nodes[-1]
        inputs = tuple(new if name == old else name for name in last.inputs)
        self.nodes[-1] = replace(last, inputs=inputs)

    def decode_outputs(self, units: Sequence[Unit]) -> None:
        """Decode the graph's outputs of changing scale; their codes get another name."""
        makers = {name: unit for unit in units for name in unit.tensors}
        for name in dict.fromkeys(self.graph.outputs):
            if name not in self.exponents:
                continue
            codes = f"{name}:codes"
            self._rename(name, codes)
            fmt = self.tensors[codes].format
            self.decode(makers[name], codes, name, extra_bits=REACH, bits=fmt.bits + 2 * REACH,
                        shape=self.graph.shapes[name])  # fmt: skip

    def _rename(self, old: str, new: str) -> None:
        def renamed(names: Sequence[str]) -> tuple[str, ...]:
            return tuple(new if name == old else name for name in names)

        self.nodes = [
            replace(node, inputs=renamed(node.inputs), outputs=renamed(node.outputs))
            for node in self.nodes
        ]
        self.tensors[new] = replace(self.tensors.pop(old), name=new)
        self.exponents[new] = self.exponents.pop(old)


def nominal_shift(wanted: float, step: float) -> int:
    """Return the smallest shift n ≥ 0 for which ``step · 2^n`` is at least `wanted`."""
    mantissa, exponent = math.frexp(wanted / step)
    return max(0, exponent - 1 if mantissa == 0.5 else exponent)


def _frozen(values: Sequence[int]) -> IntArray:
    array = np.array(values, np.int64)
    array.flags.writeable = False
    return array
