"""What a pruning is asked to do; names, values and defaults are TAO's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nibblefit.ir.graph import frozen_mapping


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
