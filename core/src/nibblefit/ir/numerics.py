"""What a target declares about its arithmetic: the rules from which graphs are quantized.

Everything here is data. Core's quantizer turns these rules into the steps of a quantized graph,
and the conformance kit turns them into checks. A rule that no field can express is a reason to
extend this file for all targets, never to compute bits inside a plugin by other means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op


class ScaleKind(StrEnum):
    """Which scales a tensor may have."""

    POWER_OF_TWO = "power_of_two"
    REAL = "real"


class Signedness(StrEnum):
    """When a tensor is signed."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    BY_RANGE = "by_range"  #: unsigned if no value can be negative


class Requantization(StrEnum):
    """How an accumulator becomes an output code."""

    SHIFT = "shift"  #: one power-of-two shift
    MULTIPLY_SHIFT = "multiply_shift"  #: integer multiplier, then shift
    FLOAT32 = "float32"  #: float32 multiplier, round, offset
    RUNTIME_SHIFT = "runtime_shift"  #: shift chosen per frame from the data


@dataclass(frozen=True, slots=True)
class TensorRule:
    """Legal formats of one kind of tensor.

    Attributes:
        bits: Allowed widths; the first is the default.
        signedness: See `Signedness`.
        symmetric: Zero point is always zero.
        scale: Kind of scale.
        per_channel: One scale per output channel is allowed (and then the default).
        rounding: Rounding of real values into codes.
        narrow: The most negative code is not used.
    """

    bits: tuple[int, ...] = (8,)
    signedness: Signedness = Signedness.SIGNED
    symmetric: bool = True
    scale: ScaleKind = ScaleKind.POWER_OF_TWO
    per_channel: bool = False
    rounding: Rounding = Rounding.HALF_EVEN
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class BiasRule:
    """Bias codes: width, and the fixed left shift at which they join the accumulator.

    `shift` None means that bias has the accumulator's own scale (input scale × weight scale),
    or, for power-of-two targets with narrow biases, a shift chosen per layer.

    Attributes:
        factors: Largest integer that multiplies all bias codes of a layer on their way into the
            accumulator, chosen per layer as small as the largest bias allows; for unsigned and
            for signed input. None: biases are not multiplied.
        drop: What happens to the low bits of power-of-two biases that are finer than the
            accumulator, and so are shifted right on their way into it.
    """

    bits: int = 32
    shift: int | None = None
    rounding: Rounding = Rounding.HALF_EVEN
    factors: tuple[int, int] | None = None
    drop: Rounding = Rounding.FLOOR


@dataclass(frozen=True, slots=True)
class RequantRule:
    """From accumulator to output code.

    Attributes:
        multiplier_bits: Width of integer multipliers, MULTIPLY_SHIFT only.
        shift_range: Smallest and largest legal right shift (negative = left).
        history_first: RUNTIME_SHIFT: percent of the past range kept in the first frames.
        history: RUNTIME_SHIFT: percent kept after them.
        first_frames: RUNTIME_SHIFT: how many frames the first ones are.
        margin: RUNTIME_SHIFT: percent added to the running range.
    """

    kind: Requantization = Requantization.SHIFT
    rounding: Rounding = Rounding.HALF_UP
    multiplier_bits: int = 0
    shift_range: tuple[int, int] = (-31, 31)
    history_first: int = 0
    history: int = 0
    first_frames: int = 0
    margin: int = 0


def _nothing() -> Mapping[Any, int]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Multipliers:
    """Fractional bits of the integer factors inside layers without weights of their own.

    Where a target computes ``round(factor · 2^bits)`` once and multiplies codes by it, the bits
    are given here, by width of the layer's output; a width that is missing, or an empty mapping,
    leaves the choice to the quantizer (as fine as the accumulator allows). Real scales only,
    except for averages.

    Attributes:
        sums: Alignment of the operands of sums and differences.
        concatenations: Alignment of the parts of a concatenation.
        averages: Reciprocal of the window of an average pool.
        windows: (kernel, strides) → bits, for average pools with bits of their own.
    """

    sums: Mapping[int, int] = field(default_factory=_nothing)
    concatenations: Mapping[int, int] = field(default_factory=_nothing)
    averages: Mapping[int, int] = field(default_factory=_nothing)
    windows: Mapping[tuple[tuple[int, ...], tuple[int, ...]], int] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class GateRule:
    """Hard sigmoid and hard swish in integers: ``multiplier / 2^shift`` stands for one sixth.

    Hard sigmoid is ``clamp(x + 3, 0, 6) · multiplier / 2^shift``, rounded once into its output.
    Hard swish multiplies x by that, rounded and saturated to a signed code of `bits` with `frac`
    fractional bits. With a power-of-two scale, 3 must be a whole number of the input's steps; for
    other scales a table of all codes holds the same function.

    Attributes:
        multiplier, shift: The factor.
        bits, frac: Format of the gate inside a hard swish.
        rounding: Of that gate; None: as the layer's output.
    """

    multiplier: int
    shift: int
    bits: int = 8
    frac: int = 7
    rounding: Rounding | None = None


@dataclass(frozen=True, slots=True)
class Fusion:
    """A chain of operators that runs as one layer without quantizing in between.

    Attributes:
        name: Shown in reports, such as ``conv + relu``.
        ops: Operators in data-flow order; each has the next one as its only consumer. An entry
            that may be missing is listed in `optional` by position.
    """

    name: str
    ops: tuple[Op, ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Numerics:
    """Everything about a target that decides bits.

    Attributes:
        pooling: Rounding of average pools.
        pooling_keeps_format: Average pools write their input's format; otherwise dividing by the
            window and moving to the output's format is one rounded step.
        fusions: Longest match first.
        operators: Operators the accelerator runs; everything else is refused or goes to the host.
        host_operators: Operators that may run on the host processor after (or before) the
            accelerator's part.
        multipliers: Fixed precision of factors inside sums, concatenations and averages.
        gates: How hard sigmoid and hard swish are computed; None: from tables of all codes.
        sources: Field name → where the value comes from (document, section, or "measured with …").
            A value without a source is shown as assumed in reports.
    """

    inputs: TensorRule = TensorRule()
    activations: TensorRule = TensorRule()
    weights: TensorRule = TensorRule()
    bias: BiasRule = BiasRule()
    accumulator: Accumulator = Accumulator()  # noqa: RUF009
    requant: RequantRule = RequantRule()
    pooling: Rounding = Rounding.HALF_UP
    pooling_keeps_format: bool = False
    fusions: tuple[Fusion, ...] = ()
    operators: frozenset[Op] = frozenset()
    host_operators: frozenset[Op] = frozenset()
    multipliers: Multipliers = Multipliers()
    gates: GateRule | None = None
    sources: Mapping[str, str] = field(default_factory=frozen_mapping)
