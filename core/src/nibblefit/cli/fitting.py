"""Tables that fit their terminal: words break where a reader would break them, or rows turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: A cell that is a number, with or without a unit, or the dash of a missing one.
NUMBER = re.compile(r"–|-?[\d,]+(\.\d+)?(e[+-]\d+)?( \S+)?")
#: What rich puts around each column, and at the end of a row.
_AROUND, _END = 3, 1
#: Names break behind underscores and in front of what a search adds to a step's name.
_BREAKS = re.compile(r"(?<=_)(?=[^\W_])|(?=@)")


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text.

    Attributes:
        columns: Headings; lines within one are separated by newlines.
        rows: Cells, as many in each row as there are headings.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def width(self) -> int:
        """Return the fewest places in which words, and numbers with their units, stay whole."""
        widths = [
            max(len(word) for cell in self._column(i) for word in _words(cell))
            for i in range(len(self.columns))
        ]
        return sum(widths) + _AROUND * len(widths) + _END

    def is_number(self, i: int) -> bool:
        """Return whether a column holds numbers alone."""
        return all(NUMBER.fullmatch(row[i]) for row in self.rows)

    def is_whole(self, i: int) -> bool:
        """Return whether no cell of a column can be wrapped."""
        return all(len(_words(line)) == 1 for cell in self._column(i) for line in cell.split("\n"))

    def _column(self, i: int) -> list[str]:
        return [self.columns[i], *(row[i] for row in self.rows)]


def fitted(grid: Grid, width: int) -> Grid:
    """Return a grid whose words fit, if there is a way; wrapping at spaces is left to rich.

    First the headings break, then the cells; a table that is still too wide has its columns below
    each other, a row for each of them.
    """
    if grid.width() <= width:
        return grid
    broken = Grid(_broken(grid.columns), grid.rows)
    if broken.width() > width:
        broken = Grid(broken.columns, tuple(map(_broken, grid.rows)))
    if broken.width() <= width:
        return broken
    turned = _turned(grid, broken)
    return turned if turned.width() < broken.width() else broken


def _words(cell: str) -> list[str]:
    return [cell] if NUMBER.fullmatch(cell) else cell.split() or [""]


def _broken(cells: Sequence[str]) -> tuple[str, ...]:
    return tuple(cell if " " in cell or "/" in cell else _BREAKS.sub("\n", cell) for cell in cells)


def _turned(grid: Grid, broken: Grid) -> Grid:
    heads = (grid.columns[0], *(row[0] for row in broken.rows))
    rows = tuple(
        (name, *(row[i] for row in broken.rows)) for i, name in enumerate(grid.columns[1:], start=1)
    )
    return Grid(heads, rows)
