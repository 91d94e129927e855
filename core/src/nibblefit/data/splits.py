"""Disjoint parts of a data set, chosen by seed and stratified by class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def divide(
    labels: npt.NDArray[np.generic] | None, count: int, share: float, seed: int
) -> tuple[Indices, Indices]:
    """Split sample numbers 0…count-1 into (kept, taken), both in rising order.

    ``round(share * count)`` samples are taken. With labels, every class gives its share, rounded
    by largest remainder, so class proportions are equal to within one sample.

    Args:
        labels: One integer per sample, or None to draw without regard to classes.
        count: Number of samples.
        share: Fraction to take, 0…1.
        seed: Same seed, same split; independent of platform.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    wanted = round(share * count)
    shuffled = generator.permutation(count)
    classes = np.zeros(count, np.int64) if labels is None else np.asarray(labels, np.int64)
    names, inverse, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    quotas = _quotas(sizes, wanted)
    # Rank of each sample within its class, in shuffled order.
    order = shuffled[np.argsort(inverse[shuffled], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    ranks = np.empty(count, np.int64)
    ranks[order] = np.arange(count) - np.repeat(starts, sizes)
    taken = ranks < quotas[inverse] if len(names) else np.zeros(0, bool)
    return np.flatnonzero(~taken), np.flatnonzero(taken)


def _quotas(sizes: Indices, wanted: int) -> Indices:
    """Return how many of each class to take so that the sum is `wanted`."""
    total = int(sizes.sum())
    if total == 0:
        return np.zeros(0, np.int64)
    # Integer arithmetic: remainders must compare exactly for a platform-independent split.
    whole = sizes * wanted // total
    remainders = sizes * wanted - whole * total
    missing = wanted - int(whole.sum())
    chosen = np.argsort(-remainders, kind="stable")[:missing]
    whole[chosen] += 1
    return whole
