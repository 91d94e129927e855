"""What there is to see of a network before it is cut, and the threshold for a wanted size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.errors import LimitError
from nibblefit.ir.graph import Graph
from nibblefit.pruning.coupling import Coupling, couple
from nibblefit_tao.pruning.curve import Curve, curve, solve, steps
from nibblefit_tao.pruning.decisions import Ranking, rank
from nibblefit_tao.pruning.settings import Goal, PruneSettings

_NOTHING = (
    "threshold {threshold:.4g} removes nothing: the weakest filter scores {lowest:.4g}; ask "
    "for a ratio, which solves for a threshold, or train longer with L1 so that filters die"
)
_WHOLE = "nothing is removed: every layer that could lose filters is excluded"
_HELD = (
    "nothing is removed: filters that score below the threshold stay too, held by the least number "
    "of filters and the granularity; lower those"
)
_FLOOR = (
    "{floored} of {all} groups of layers are cut down to their least number of filters: the "
    "threshold is above nearly all scores; expect a large loss"
)
_EMPTIED = (
    "no filter of {layers} scores above the threshold; the least number of filters stays there"
)
#: Points of a curve: evenly spaced ones, and those at which something changes.
_EVEN, _CHANGES = 41, 80
#: Layers that a warning names.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Look:
    """A network looked at before cutting.

    Attributes:
        coupling: Which filters belong together.
        rankings: Every group, ranked.
        curve: What thresholds from 0 to the largest score would leave.
    """

    coupling: Coupling
    rankings: tuple[Ranking, ...]
    curve: Curve


def look_at(graph: Graph, settings: PruneSettings) -> Look:
    """Return what there is to see before cutting.

    Raises:
        RecipeError: A layer that is named does not exist.
        InputError: A filter has no finite norm.
        LimitError: Nothing in the network can be pruned.
    """
    coupling = couple(graph)
    if not coupling.groups:
        raise LimitError(
            "no filter of this network can be removed: all of them reach its outputs directly",
            hint="set target.prune = false, or use a network with more than one layer",
        )
    rankings = rank(coupling, settings)
    return Look(coupling, rankings, curve(coupling, rankings, _thresholds(rankings)))


def threshold_for(look: Look, threshold: float, goal: Goal) -> float:
    """Return the threshold that a goal asks for, or the given one where there is no goal.

    Raises:
        LimitError: No filter of any layer scores above the given threshold, or the goal cannot
            be reached.
    """
    if goal.is_set:
        return solve(look.coupling, look.rankings, ratio=goal.ratio, macs=goal.macs,
                     weight_bytes=goal.weight_bytes)  # fmt: skip
    check_threshold(look.rankings, threshold)
    return threshold


def check_threshold(rankings: Sequence[Ranking], threshold: float) -> None:
    """Refuse a threshold that would empty every layer, but for the least number of filters."""
    free = _free(rankings)
    largest = max((ranking.highest for ranking in free), default=np.inf)
    if threshold >= largest:
        raise LimitError(
            f"threshold {threshold:.4g} would empty every layer: the strongest filter scores "
            f"{largest:.4g}",
            hint="choose a smaller one, or ask for a ratio; nibblefit tao look shows the scores",
        )


def warnings_of(look: Look, threshold: float) -> list[str]:
    """Return what the user should know before retraining."""
    free = [ranking for ranking in look.rankings if not ranking.whole]
    if not any(len(ranking.removed(threshold)) for ranking in look.rankings):
        return [_why_nothing(free, threshold)]
    floored = [r for r in free if r.kept_count(threshold) == r.kept_count(np.inf)]
    if 2 * len(floored) > len(free):
        return [_FLOOR.format(floored=len(floored), all=len(free))]
    emptied = [r.group.name for r in free if r.highest <= r.limit(threshold)]
    if emptied:
        more = len(emptied) - _NAMED
        layers = ", ".join(f"'{name}'" for name in emptied[:_NAMED])
        layers += f" and {more} more groups" if more > 0 else ""
        return [_EMPTIED.format(layers=layers)]
    return []


def _why_nothing(free: Sequence[Ranking], threshold: float) -> str:
    if not free:
        return _WHOLE
    if any(ranking.lowest <= ranking.limit(threshold) for ranking in free):
        return _HELD
    return _NOTHING.format(threshold=threshold, lowest=min(ranking.lowest for ranking in free))


def _free(rankings: Sequence[Ranking]) -> list[Ranking]:
    """Return the groups that the run's threshold is for."""
    return [ranking for ranking in rankings if not ranking.whole and ranking.own is None]


def _thresholds(rankings: Sequence[Ranking]) -> npt.NDArray[np.float64]:
    """Return thresholds from 0 to the largest score, more of them where the sizes change."""
    changes = steps(rankings)
    picked = changes[np.linspace(0, len(changes) - 1, _CHANGES).round().astype(np.int64)]
    top = max(ranking.highest for ranking in rankings)
    found: npt.NDArray[np.float64] = np.unique([*np.linspace(0.0, top, _EVEN), *picked])
    return found
