"""The vendor's networks: the vendor's plan forgotten, planned anew, proven and compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.maxim.vectors import NETS

from nibblefit_maxim.proving.comparison import compare_plan, plan_comparison


@pytest.mark.parametrize("name", NETS)
def test_vendor_network_is_planned_anew_and_proven(shared: Path, name: str) -> None:
    """Never more layers, cycles within 5 %, no more weight words, in under a second."""
    compared = compare_plan(shared / "vendor" / "maxim" / "nets" / name)
    assert compared.ours_wrong == ()
    row = compared.row()
    assert row["layers_ours"] <= row["layers_vendor"]
    assert row["cycles_ours"] <= 1.05 * row["cycles_vendor"]
    assert row["weight_words_ours"] <= row["weight_words_vendor"]
    assert row["seconds"] < 1.0


@pytest.mark.parametrize("name", NETS)
def test_vendor_plan_is_proven_too(shared: Path, name: str) -> None:
    """The model agrees with plans that run on the device."""
    assert compare_plan(shared / "vendor" / "maxim" / "nets" / name).vendor_wrong == ()


def test_table_has_one_row_per_network(shared: Path) -> None:
    """For the results page."""
    rows = plan_comparison(shared / "vendor" / "maxim" / "nets")
    assert [row["net"] for row in rows] == sorted(NETS)
    assert all(row["is_proven"] for row in rows)
