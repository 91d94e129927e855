"""Tensors as the memory model remembers them: numbers in place of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Shape
from nibblefit_maxim.reading.placed import Cells

_Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(slots=True)
class Remembered:
    """A tensor in memory: the numbers of its values, (channels, positions), and where it was put.

    `shape` is its shape as written, (channels, *spatial).
    """

    numbers: _Ints
    shape: Shape
    cells: Cells | None = None


@dataclass(frozen=True, slots=True)
class Portion:
    """The channels and positions of a tensor that are read."""

    tensor: Remembered
    rows: slice
    positions: slice

    @property
    def numbers(self) -> _Ints:
        """Numbers of the values."""
        return self.tensor.numbers[self.rows, self.positions]

    @property
    def first(self) -> int:
        """First channel."""
        return int(self.rows.start)

    @property
    def cells(self) -> Cells | None:
        """Where they were put."""
        put = self.tensor.cells
        if put is None:
            return None
        return Cells(put.processors[self.rows], put.words[self.rows, self.positions])
