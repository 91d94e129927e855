"""Average precision of detections, as in the Pascal VOC development kit since 2010."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: Which box a detection may claim: the nearest of all (VOC), or of those still free (COCO, TAO).
Claims = Literal["nearest", "free"]


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

    With `claims` ``free`` a detection whose nearest box is taken may claim another one that it
    overlaps enough, and a difficult box excuses one detection only.

    Args:
        classes: Number of classes.
        threshold: Least overlap.
        sampled: The mean precision at recalls 0, 0.1 … 1 (VOC 2007) instead of the area under the
            precision envelope.
        claims: Which boxes a detection may claim.
    """

    def __init__(self, classes: int, threshold: float = 0.5, *, sampled: bool = False,
                 claims: Claims = "nearest") -> None:  # fmt: skip
        self._threshold = threshold
        self._sampled = sampled
        self._match = _nearest if claims == "nearest" else _free
        self._wanted = np.zeros(classes, np.int64)
        self._scores: list[list[Floats]] = [[] for _ in range(classes)]
        self._right: list[list[Flags]] = [[] for _ in range(classes)]

    def add(
        self, found: Boxes, boxes: Floats, labels: Labels, difficult: Flags | None = None
    ) -> Labels:
        """Add one sample and return what each detection is.

        Args:
            found: The detections.
            boxes: Wanted boxes, (count, 4).
            labels: Their classes.
            difficult: Which of them are difficult.

        Returns:
            1 right, 0 wrong, -1 does not count, in the order of the detections.
        """
        hard = np.zeros(len(labels), bool) if difficult is None else difficult
        verdicts = np.zeros(len(found.scores), np.int64)
        for label in np.union1d(found.labels, labels):
            own, wanted = np.flatnonzero(found.labels == label), labels == label
            order = own[np.argsort(-found.scores[own], kind="stable")]
            shares = overlaps(found.boxes[order], boxes[wanted])
            right, counts = self._match(shares, hard[wanted], self._threshold)
            self._wanted[label] += int((~hard[wanted]).sum())
            self._scores[label].append(found.scores[order][counts])
            self._right[label].append(right[counts])
            verdicts[order] = np.where(counts, right, -1)
        return verdicts

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


def _nearest(shares: Floats, hard: Flags, threshold: float) -> tuple[Flags, Flags]:
    """Return which detections are right, and which count at all, where the nearest box counts.

    Args:
        shares: Overlaps, (detections by falling score, boxes).
        hard: Which boxes are difficult.
        threshold: Least overlap.
    """
    right, counts = np.zeros(len(shares), bool), np.ones(len(shares), bool)
    if shares.size == 0:
        return right, counts
    best = shares.argmax(1)
    near = shares.max(1) >= threshold
    # Of the near detections of one box, the first (highest score) is right.
    claims, first = np.unique(np.where(near, best, -1), return_index=True)
    right[first[claims >= 0]] = True
    return right, ~(near & hard[best])


def _free(shares: Floats, hard: Flags, threshold: float) -> tuple[Flags, Flags]:
    """Return the same where the nearest box counts that no better detection has claimed."""
    right, counts = np.zeros(len(shares), bool), np.ones(len(shares), bool)
    left = shares.copy()
    for number in np.flatnonzero(shares.max(1, initial=0.0) >= threshold):
        best = int(left[number].argmax())
        if left[number, best] >= threshold:
            right[number] = not hard[best]
            counts[number] = not hard[best]
            left[:, best] = 0.0
    return right, counts
