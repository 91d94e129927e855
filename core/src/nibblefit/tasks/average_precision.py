"""Average precision of detections, as in the Pascal VOC development kit since 2010."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Boxes(NamedTuple):
    """Detections of one sample; boxes are (left, top, right, bottom) in pixels."""

    boxes: Floats
    labels: Labels
    scores: Floats


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return the intersection over union of every pair, (first, second)."""
    one, two = first.T[:, :, None], second.T[:, None, :]
    across = np.minimum(one[2], two[2]) - np.maximum(one[0], two[0])
    down = np.minimum(one[3], two[3]) - np.maximum(one[1], two[1])
    shared = np.maximum(across, 0.0) * np.maximum(down, 0.0)
    areas = [np.prod(np.maximum(b[:, 2:] - b[:, :2], 0.0), axis=1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    share: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return share


class AveragePrecision:
    """Collects samples; average precision per class.

    A detection, taken in order of falling score, is right if the box of its class that it overlaps
    most reaches the threshold and no better detection has claimed that box. Detections of a
    difficult box count neither as right nor as wrong, and nobody has to find it.

    Args:
        classes: Number of classes.
        threshold: Least overlap.
        sampled: The mean precision at recalls 0, 0.1 … 1 (VOC 2007) instead of the area under the
            precision envelope.
    """

    def __init__(self, classes: int, threshold: float = 0.5, *, sampled: bool = False) -> None:
        self._threshold = threshold
        self._sampled = sampled
        self._wanted = np.zeros(classes, np.int64)
        self._scores: list[list[Floats]] = [[] for _ in range(classes)]
        self._right: list[list[npt.NDArray[np.bool_]]] = [[] for _ in range(classes)]

    def add(
        self, found: Boxes, boxes: Floats, labels: Labels,
        difficult: npt.NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        """Add one sample: detections, wanted boxes (count, 4), labels, and which are difficult."""
        hard = np.zeros(len(labels), bool) if difficult is None else difficult
        for label in np.union1d(found.labels, labels):
            own, wanted = found.labels == label, labels == label
            order = np.argsort(-found.scores[own], kind="stable")
            right, counts = self._match(found.boxes[own][order], boxes[wanted], hard[wanted])
            self._wanted[label] += int((~hard[wanted]).sum())
            self._scores[label].append(found.scores[own][order][counts])
            self._right[label].append(right[counts])

    def _match(
        self, found: Floats, wanted: Floats, hard: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which detections are right, and which count at all."""
        right, counts = np.zeros(len(found), bool), np.ones(len(found), bool)
        if len(found) == 0 or len(wanted) == 0:
            return right, counts
        shares = overlaps(found, wanted)
        best = shares.argmax(1)
        near = shares.max(1) >= self._threshold
        # Of the near detections of one box, the first (highest score) is right.
        claims, first = np.unique(np.where(near, best, -1), return_index=True)
        right[first[claims >= 0]] = True
        return right, ~(near & hard[best])

    def wanted(self) -> list[int]:
        """Return how many boxes of each class had to be found."""
        return [int(count) for count in self._wanted]

    def per_class(self) -> list[float | None]:
        """Return the average precision of each class, None where no box was wanted."""
        return [self._of(label) for label in range(len(self._wanted))]

    def _of(self, label: int) -> float | None:
        wanted = int(self._wanted[label])
        if wanted == 0:
            return None
        if not self._scores[label]:
            return 0.0
        order = np.argsort(-np.concatenate(self._scores[label]), kind="stable")
        right = np.concatenate(self._right[label])[order]
        hits = np.cumsum(right)
        precision = hits / np.arange(1, len(right) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        if self._sampled:
            # The first place where the recall reaches n tenths, compared in whole numbers.
            places = [np.searchsorted(10 * hits, n * wanted) for n in range(11)]
            return float(sum(envelope[p] for p in places if p < len(envelope)) / 11)
        # Recall rises by 1/wanted at each hit, and nowhere else.
        return float(envelope[right].sum() / wanted)
