"""The sixteen data memories, holding the names of values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.parts import Part
from nibblefit_maxim.proving.addresses import INSTANCES, Addresses, Layout

Names = npt.NDArray[np.int64]
#: Nobody has written here.
NOTHING = 0
#: Written as part of a word, but with no value of a tensor.
FILLER = -1
#: Values per tensor that a name can tell apart.
_TENSOR = 1 << 40


class SymbolicMemory:
    """All data memories as one array of value names, one per byte."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._depth = part.instance_bytes // 4
        self._bytes: Names = np.zeros(INSTANCES * self._depth * 4, dtype=np.int64)

    def write(self, layout: Layout, names: Names) -> None:
        """Write a tensor; words are written whole."""
        instances, words = layout.words()
        rows = (instances[:, None] * self._depth + words[None, :]).reshape(-1)
        self._bytes.reshape(-1, 4)[rows] = FILLER
        addresses = layout.addresses(self._part)
        if layout.wide:
            names = names[..., None] * 4 + np.arange(4)
        self._bytes[addresses] = names

    def spoil(self, layout: Layout, before: int, behind: int) -> None:
        """Write words that mean nothing in front of a tensor and behind it, `before` and
        `behind` of them.
        """
        instances, words = layout.words()
        step = layout.stride
        front = words[0] - step * np.arange(1, before + 1, dtype=np.int64)
        back = words[-1] + step * np.arange(1, behind + 1, dtype=np.int64)
        spoiled = np.concatenate([front, back])
        spoiled = spoiled[(spoiled >= 0) & (spoiled < self._depth)]
        rows = (instances[:, None] * self._depth + spoiled[None, :]).reshape(-1)
        self._bytes.reshape(-1, 4)[rows] = FILLER

    def read(self, layout: Layout) -> Names:
        """Return the names of what lies where a layout points."""
        return self._bytes[layout.addresses(self._part)]


def value_names(tensor: int, channels: int, pixels: int) -> Names:
    """Return a name for each value of a tensor, (channels, pixels)."""
    count = np.arange(channels * pixels, dtype=np.int64).reshape(channels, pixels)
    names: Names = (tensor + 1) * _TENSOR + count
    return names


def tensor_of(name: int) -> int | None:
    """Return the tensor whose value a name is; None for filler and for nothing."""
    return name // _TENSOR - 1 if name >= _TENSOR else None


def shared_words(one: Layout, two: Layout) -> int:
    """Return how many words both layouts use."""
    first, second = one.words(), two.words()
    common = np.intersect1d(first[0], second[0]).size
    return int(common * np.intersect1d(first[1], second[1]).size) if common else 0


__all__ = [
    "FILLER", "NOTHING", "Addresses", "SymbolicMemory", "shared_words", "tensor_of", "value_names",
]  # fmt: skip
