"""Counts of actual against predicted classes, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.results import Table

Counts = npt.NDArray[np.int64]


class Confusion:
    """Running counts[actual][predicted].

    Args:
        classes: Number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._counts = np.zeros((classes, classes), np.int64)

    @property
    def counts(self) -> Counts:
        """The counts so far; a copy."""
        return self._counts.copy()

    def add(self, actual: Tensor, predicted: Tensor) -> None:
        """Count pairs of class numbers of equal shape."""
        pairs = actual.reshape(-1).long() * self.classes + predicted.reshape(-1).long()
        counted = torch.bincount(pairs, minlength=self.classes**2)
        self._counts += counted.cpu().numpy().reshape(self.classes, self.classes)


def ratio(numerator: Counts, denominator: Counts) -> npt.NDArray[np.float64]:
    """Return the quotient, 0 where the denominator is 0."""
    safe = np.maximum(denominator, 1)
    return np.where(denominator > 0, numerator / safe, 0.0)


def per_class_table(counts: Counts, names: Sequence[str]) -> Table:
    """Return samples, recall, precision and F1 of every class."""
    hits = np.diagonal(counts)
    actual, predicted = counts.sum(1), counts.sum(0)
    recall, precision = ratio(hits, actual), ratio(hits, predicted)
    f1 = ratio(2 * hits, actual + predicted)
    rows = tuple(
        (name, int(actual[i]), float(recall[i]), float(precision[i]), float(f1[i]))
        for i, name in enumerate(names)
    )
    return Table("Classes", ("class", "samples", "recall", "precision", "f1"), rows)
