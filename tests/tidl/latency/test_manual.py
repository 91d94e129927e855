"""The figures that the manual prints are the model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from nibblefit_tidl.latency.errors import mean_error, point_errors
from nibblefit_tidl.latency.fitting import core_model
from nibblefit_tidl.latency.published import Core

_CORES: tuple[Core, ...] = ("eve", "dsp")


def percent(value: float, digits: int = 1) -> str:
    """Return a share as the manual writes it."""
    return f"{100 * value:.{digits}f} %"


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    """Return the page on operators and latency."""
    return (root / "docs" / "targets" / "tidl-operators.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("core", _CORES)
def test_errors_of_the_manual(page: str, core: Core) -> None:
    """Residual, latency left out, network left out."""
    row = next(line for line in page.splitlines() if line.startswith(f"| {core.upper()} |")
               and "%" in line)  # fmt: skip
    cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
    found = point_errors(core)
    seen, unseen = [e.residual for e in found], [e.left_out for e in found]
    largest = max(map(abs, seen))
    assert cells == [
        percent(mean_error(seen)), percent(largest, 1 if largest < 0.1 else 0),
        percent(mean_error(unseen)), percent(max(map(abs, unseen)), 0),
        percent(mean_error([e.network_left_out for e in found])),
    ]  # fmt: skip


def test_costs_of_the_manual(page: str) -> None:
    """In the order of the fit, to two or three digits."""
    rows = [line for line in page.splitlines() if line.startswith(("| EVE |", "| DSP |"))
            and "%" not in line]  # fmt: skip
    printed = [float(line.strip("|").split("|")[-1]) for line in rows]
    costs = [cost for core in _CORES for cost in core_model(core).costs.values()]
    assert printed == pytest.approx(costs, rel=0.02)
