"""The results page is what the saved figures say, and has a place for every section."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import results, section

PIECES = sorted(section.FOLDER.glob("*.json"))


def test_every_section_has_a_place() -> None:
    """Sections that `make results` measures and figures that are saved stand on the page."""
    assert set(results.SECTIONS) <= set(section.ORDER)
    assert {path.stem for path in PIECES} <= set(section.ORDER)
    assert len(set(section.ORDER)) == len(section.ORDER)


def test_page_is_what_the_figures_say() -> None:
    """Nobody edited the page by hand, or forgot to write it."""
    assert section.PAGE.read_text(encoding="utf-8") == section.page()


@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.stem)
def test_figures_name_their_command_and_date(path: Path) -> None:
    """Each piece says how and when it was measured."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    assert any(word in facts["command"] for word in ("make results", "make bench", "bench.py"))
    assert facts["date"].startswith("20")


def test_section_is_written_as_markdown() -> None:
    """Title, command, date, tables and notes all arrive."""
    grid = section.Grid("Part", ("a", "b"), [[1, "x"]], "Why.")
    made = section.Section("name", "Title", "make results", [grid], "Note.", "2026-01-02", "CPU")
    assert made.text().split("\n\n") == [
        "## Title", "`make results`, 2026-01-02, CPU.", "Note.", "### Part",
        "| a | b |\n|---|---|\n| 1 | x |", "Why.\n",
    ]  # fmt: skip
