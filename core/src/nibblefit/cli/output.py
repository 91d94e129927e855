"""How commands write: results to stdout, progress to stderr, JSON alone where it is asked for."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from nibblefit.results import Finding, Table

#: Columns where there is no terminal to ask; wide enough that a log keeps its rows in one line.
WIDTH_OF_A_LOG = 120


def console(*, stderr: bool = False) -> Console:
    """Return a console for results (stdout) or for progress (stderr)."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH_OF_A_LOG
    return Console(file=stream, width=width, highlight=False, emoji=False)


def write_json(value: Any) -> None:
    """Print one JSON document; nothing else may go to stdout in this call."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Return `value` as JSON scalars, lists and dictionaries; NaN and infinities become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def write_line(text: str) -> None:
    """Print one line of a result, unwrapped: paths in it can be copied."""
    sys.stdout.write(text + "\n")


def write_table(table: Table) -> None:
    """Print a table of results."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    from nibblefit.cli.fitting import Grid, fitted
    from nibblefit.report.wording import cell as cell_text

    screen = console()
    cells = tuple(tuple(cell_text(cell) for cell in row) for row in table.rows)
    shown = fitted(Grid(tuple(table.columns), cells), screen.width)
    fits = shown.width() <= screen.width
    grid = RichTable(
        title=table.title or None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for i, name in enumerate(shown.columns):
        side: Literal["left", "right"] = "right" if shown.is_number(i) else "left"
        # Only columns of several words give way, unless all have to.
        grid.add_column(name, justify=side, overflow="fold", no_wrap=fits and shown.is_whole(i))
    for row in shown.rows:
        grid.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    screen.print(grid)


_STYLES = {"passed": "green", "yes": "green", "failed": "bold red", "no": "bold red",
           "warning": "yellow", "skipped": "yellow"}  # fmt: skip


def findings_table(title: str, findings: tuple[Finding, ...]) -> Table:
    """Return findings as a table: where, status, what was found, what to do."""
    from nibblefit.results import Table

    rows = tuple((f.where, f.status.value.replace("_", " "), f.message, f.hint) for f in findings)
    return Table(title, ("where", "status", "finding", "what to do"), rows)
