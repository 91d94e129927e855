"""What a pruning is asked to do; names, values and defaults are TAO's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping

Choice = TypeVar("Choice", bound=StrEnum)


class Normalizer(StrEnum):
    """How the norms of a layer's filters become comparable between layers.

    ``max`` divides by the layer's largest norm. ``L2`` gives norm · n / √(Σ norm²) with n filters,
    with the factor n that TAO's documentation omits: a layer of equal filters scores √n.
    """

    MAX = "max"
    L2 = "L2"
    OFF = "off"


class Criterion(StrEnum):
    """How the scores of coupled layers become one: maximum, minimum or a mean."""

    UNION = "union"
    INTERSECTION = "intersection"
    ARITHMETIC_MEAN = "arithmetic_mean"
    GEOMETRIC_MEAN = "geometric_mean"


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """How filters are chosen.

    Attributes:
        normalizer: See `Normalizer`.
        criterion: See `Criterion`.
        granularity: Kept filters of a layer are a multiple of it, rounded up.
        threshold: Filters whose score is above it stay; no share of anything, but of the layer's
            strongest filter with ``max``.
        min_filters: At least as many stay in every layer.
        excluded: Globs of layers that stay whole, with every layer coupled to them.
        thresholds: Glob of layers → threshold of their own; later ones win, and in a group the
            smallest.
        batch_norm: Score a filter by what batch norm makes of it: norm · |γ| / √(var + ε).
        transposed: Prune the filters of transposed convolutions too; TAO never does.

    Raises:
        InputError: A value is out of its range or no choice.
    """

    normalizer: Normalizer = Normalizer.MAX
    criterion: Criterion = Criterion.UNION
    granularity: int = 8
    threshold: float = 0.1
    min_filters: int = 16
    excluded: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=frozen_mapping)
    batch_norm: bool = False
    transposed: bool = False

    def __post_init__(self) -> None:
        """Refuse what no network could be pruned with; take choices by their names too."""
        object.__setattr__(self, "normalizer", choice(Normalizer, self.normalizer))
        object.__setattr__(self, "criterion", choice(Criterion, self.criterion))
        limits = {"threshold": self.threshold}
        limits |= {f"threshold of '{name}'": value for name, value in self.thresholds.items()}
        for name, limit in limits.items():
            if not (math.isfinite(limit) and limit >= 0):
                raise InputError(f"{name} is {limit:g}, which no score can be compared with",
                                 hint="give a number from 0 up; 0.1 is TAO's")  # fmt: skip
        for name, count in (("granularity", self.granularity), ("min_filters", self.min_filters)):
            if count < 1:
                raise InputError(f"{name} is {count}", hint="give 1 or more")


@dataclass(frozen=True, slots=True)
class Goal:
    """The most that may remain, in place of a threshold; None asks for nothing.

    Attributes:
        ratio: Share of the parameters.
        macs: Multiply-accumulates for one input.
        weight_bytes: Bytes of float32 weights.

    Raises:
        InputError: More than one is set, or one is out of its range.
    """

    ratio: float | None = None
    macs: int | None = None
    weight_bytes: int | None = None

    def __post_init__(self) -> None:
        """Refuse goals that contradict each other."""
        given = [n for n in ("ratio", "macs", "weight_bytes") if getattr(self, n) is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} contradict each other", hint="give one goal")
        if self.ratio is not None:
            checked_ratio(self.ratio)
        for name in ("macs", "weight_bytes"):
            if (count := getattr(self, name)) is not None and count < 1:
                raise InputError(f"{name} is {count}", hint="give 1 or more")

    @property
    def is_set(self) -> bool:
        """Whether anything is asked for."""
        return (self.ratio, self.macs, self.weight_bytes) != (None, None, None)


def choice(kind: type[Choice], given: str) -> Choice:
    """Return the member of a kind with a name; raises InputError that lists all."""
    try:
        return kind(given)
    except ValueError:
        raise InputError(f"'{given}' is no {kind.__name__.lower()} of pruning",
                         hint=f"choose one of {', '.join(kind)}") from None  # fmt: skip


def checked_ratio(ratio: float) -> float:
    """Return a share of parameters to leave; raises InputError unless it is between 0 and 1."""
    if not 0 < ratio < 1:
        raise InputError(f"a pruning ratio of {ratio:g} cannot be asked for",
                         hint="give the share of parameters that remains, between 0 and 1: "
                         "0.25 removes three quarters")  # fmt: skip
    return ratio
