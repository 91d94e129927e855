"""The benchmark's figures as a Markdown section."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

#: Ratios are against this contender.
YARDSTICK = "ONNX Runtime, integer operators"


def markdown(report: Mapping[str, Any]) -> str:
    """Return the section for a report of `benchmarks/engine.py`."""
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    lines = [
        "## Speed of the engine",
        "",
        (
            f"Images per second on {report['processor']} ({report['cores']} cores); {versions}. "
            f"Measured {report['date']} with"
        ),
        "",
        f"    {report['command']}",
        "",
        (
            f"Median of {report['rounds']} rounds in which all contenders take turns, at least "
            f"{report['seconds']:g} s each per round, after a pause in which the threads of the "
            "one before fall asleep, and a call that is not counted; ± is half the distance "
            "between the fastest and the slowest round, in percent of the median. × is the ratio "
            f"to {YARDSTICK}. "
            "Before any timing, the engine was compared with the judge on every tensor."
        ),
    ]
    for network in dict.fromkeys(cell["network"] for cell in report["cells"]):
        cells = [cell for cell in report["cells"] if cell["network"] == network]
        lines += ["", f"### {network}", "", *_table(cells)]
    return "\n".join(lines) + "\n"


def _table(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = list(dict.fromkeys((cell["threads"], cell["batch"]) for cell in cells))
    found = {(c["contender"], c["threads"], c["batch"]): c for c in cells}
    head = [f"{_plural(t, 'thread')}, {_plural(b, 'image')}" for t, b in columns]
    lines = [f"| | {' | '.join(head)} |", "|---|" + "---:|" * len(columns)]
    notes = []
    for contender in dict.fromkeys(cell["contender"] for cell in cells):
        texts = []
        for threads, batch in columns:
            cell = found[contender, threads, batch]
            texts.append(_cell(cell, found.get((YARDSTICK, threads, batch))))
            if "skipped" in cell:
                notes.append(f"{contender}, {_plural(batch, 'image')}: {cell['skipped']}.")
        lines.append(f"| {contender} | {' | '.join(texts)} |")
    return [*lines, *(["", *dict.fromkeys(notes)] if notes else [])]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _cell(cell: Mapping[str, Any], yardstick: Mapping[str, Any] | None) -> str:
    if "skipped" in cell:
        return "–"
    rates = cell["images_per_second"]
    middle = median(rates)
    spread = 50 * (max(rates) - min(rates)) / middle
    text = f"{_number(middle)} ± {spread:.0f} %"
    if yardstick and "skipped" not in yardstick:
        text += f" ({middle / median(yardstick['images_per_second']):.2f}×)"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())))
