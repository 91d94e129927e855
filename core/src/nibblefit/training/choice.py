"""Which epoch of a training is kept, and why: one rule for every target."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nibblefit.training.history import VALIDATION

#: Column of the history that decides between equal metrics.
LOSS = f"{VALIDATION}loss"


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished epoch as the choice sees it.

    Attributes:
        epoch: Number, from 1.
        value: The task's metric on the validation split, finite.
        loss: Mean loss on the validation split; infinite where it is unknown or not finite.
    """

    epoch: int
    value: float
    loss: float = math.inf


@dataclass(frozen=True, slots=True)
class Choice:
    """The epoch whose weights a training ends with.

    Attributes:
        epoch: Number, from 1; 0 if nothing was trained.
        epochs: How many there were.
        why: What decided, such as ``highest validation_top1``.
        judged: Whether a metric decided.
    """

    epoch: int = 0
    epochs: int = 0
    why: str = ""
    judged: bool = False


def judged(record: Mapping[str, float], metric: str) -> Judged | None:
    """Return an epoch of the history, None if its metric is missing or not finite."""
    value, loss = record.get(VALIDATION + metric, math.nan), record.get(LOSS, math.inf)
    if not math.isfinite(value):
        return None
    return Judged(int(record["epoch"]), value, loss if math.isfinite(loss) else math.inf)


def is_preferred(one: Judged, best: Judged | None, *, maximize: bool) -> bool:
    """Return whether an epoch is chosen over the best before it.

    The better metric wins; of equal ones the lower validation loss; then the earlier epoch.
    """
    return best is None or _rank(one, maximize) < _rank(best, maximize)


def is_better(one: Judged, best: Judged | None, *, maximize: bool) -> bool:
    """Return whether an epoch improves the metric itself, as early stopping asks."""
    return best is None or _rank(one, maximize)[0] < _rank(best, maximize)[0]


def reason(best: Judged, others: Sequence[Judged], top: Judged, metric: str, *, maximize: bool,
           every: int) -> str:  # fmt: skip
    """Return in words why an epoch was chosen.

    Args:
        best: The epoch.
        others: All that it was chosen from; may hold itself.
        top: The best epoch of all, with or without a checkpoint.
        metric: The task's metric.
        maximize: Whether larger is better.
        every: Epochs between checkpoints.
    """
    words = f"{'highest' if maximize else 'lowest'} {VALIDATION}{metric}"
    if every > 1:
        words += f" of the epochs with a checkpoint, every {every}"
    equals = [one for one in others if one.value == best.value and one.epoch != best.epoch]
    if equals:
        by_loss = all(one.loss > best.loss for one in equals)
        words += f", of {len(equals) + 1} equal ones "
        words += f"that with the lowest {LOSS}" if by_loss else "the first"
        words += "" if by_loss or math.isinf(best.loss) else f" with the lowest {LOSS}"
    if is_better(top, best, maximize=maximize):
        words += f"; epoch {top.epoch} had {top.value:.4g} but no checkpoint"
    return words


def _rank(one: Judged, maximize: bool) -> tuple[float, float, int]:
    return (-one.value if maximize else one.value), one.loss, one.epoch
