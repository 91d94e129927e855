"""Non-maximum suppression: of boxes that mean the same object, the best one stays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit.tasks.average_precision import Boxes, overlaps

Floats = npt.NDArray[np.float64]
#: Boxes of one class that are looked at for each that may stay.
LOOKED_AT = 2


def suppress(boxes: Floats, scores: Floats, overlap: float) -> npt.NDArray[np.int64]:
    """Return the positions of the boxes that stay, best first.

    A box goes if a better one that stays overlaps it by more than `overlap`. Equal scores: the
    earlier box counts as better.

    Args:
        boxes: (count, 4) corners.
        scores: (count,).
        overlap: Largest intersection over union of two that stay.
    """
    order = np.argsort(-scores, kind="stable")
    crowded = overlaps(boxes[order], boxes[order]) > overlap
    alive = np.ones(len(order), bool)
    for number in range(len(order)):
        if alive[number]:
            alive[number + 1 :] &= ~crowded[number, number + 1 :]
    stay: npt.NDArray[np.int64] = order[alive]
    return stay


def detections(
    boxes: Floats, probabilities: Floats, *, score: float, overlap: float, keep: int
) -> Boxes:
    """Return the boxes of one picture, best first.

    Args:
        boxes: (anchors, 4) corners.
        probabilities: (anchors, classes), without background.
        score: Least probability.
        overlap: See `suppress`; classes do not suppress each other.
        keep: Most boxes; of each class the best `LOOKED_AT` times as many are looked at.
    """
    found: list[tuple[Floats, npt.NDArray[np.int64], Floats]] = []
    for label in range(probabilities.shape[1]):
        scores = probabilities[:, label]
        likely = np.flatnonzero(scores >= score)
        likely = likely[np.argsort(-scores[likely], kind="stable")[: LOOKED_AT * keep]]
        stay = likely[suppress(boxes[likely], scores[likely], overlap)]
        found.append((boxes[stay], np.full(len(stay), label, np.int64), scores[stay]))
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    best = np.argsort(-joined[2], kind="stable")[:keep]
    return Boxes(joined[0][best], joined[1][best], joined[2][best])
