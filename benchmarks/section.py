"""One measured section of docs/results.md: figures, and how, when and where they were measured."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"


def processor() -> str:
    """Return the name of the processor and the number of cores used."""
    import os

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


@dataclass
class Grid:
    """A table of figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass
class Section:
    """Tables measured by one command."""

    name: str
    title: str
    command: str
    grids: list[Grid] = field(default_factory=list)
    note: str = ""
    date: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
    machine: str = field(default_factory=processor)

    def text(self) -> str:
        """Return the section as Markdown, as it stands on the page."""
        return "\n".join(_markdown(asdict(self)))

    def save(self) -> None:
        """Write the section beside the others and rebuild the page."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        (FOLDER / f"{self.name}.json").write_text(text + "\n", encoding="utf-8")
        write_page()


#: Order of the sections on the page.
ORDER = (
    "demo", "accuracy", "maxim_mnist", "maxim_fashion", "mlperf_tiny", "maxim_mlperf",
    "maxim_plans", "tidl_classifier", "tidl_segmenter", "tidl_detector", "tidl_latency",
    "tao_detector", "tao_classifier", "startup", "bench", "maxim_engine", "maxim_qat",
    "vitis_calibration", "vitis_resnet", "vitis_mlperf", "tao_pruning",
)  # fmt: skip


def write_page() -> None:
    """Write docs/results.md from every saved section."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the text of docs/results.md."""
    parts = [
        "# Results",
        "",
        (
            "Every figure on this page was written by the command named beside it, on the date and "
            "machine named beside it. `make results` measures accuracy and exactness on real data, "
            "`make bench` measures speed beside peers in the same run."
        ),
        "",
    ]
    for name in ORDER:
        path = FOLDER / f"{name}.json"
        if path.is_file():
            parts += _markdown(json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(parts).rstrip() + "\n"


def _markdown(section: dict[str, Any]) -> list[str]:
    if "grids" not in section:  # the speed benchmark keeps raw repeats and renders itself
        from benchmarks.render import markdown

        return [markdown(section), ""]
    lines = [f"## {section['title']}", ""]
    lines += [f"`{section['command']}`, {section['date']}, {section['machine']}.", ""]
    if section["note"]:
        lines += [section["note"], ""]
    for grid in section["grids"]:
        if grid["title"]:
            lines += [f"### {grid['title']}", ""]
        lines.append("| " + " | ".join(grid["columns"]) + " |")
        lines.append("|" + "---|" * len(grid["columns"]))
        lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in grid["rows"]]
        lines.append("")
        if grid["note"]:
            lines += [grid["note"], ""]
    return lines
