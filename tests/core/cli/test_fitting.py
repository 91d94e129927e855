"""Tables of every width: no word breaks inside, and nothing is lost."""

from __future__ import annotations

import pytest

from nibblefit.cli.fitting import Grid, fitted

WIDE = Grid(
    ("network", "step", "weight_bytes", "change"),
    (
        ("float model", "evaluate_train", "96.6 KiB", "–"),
        ("integer graph", "evaluate_retrain@r250", "6.0 KiB", "drop 1.11 points"),
    ),
)


def test_what_fits_stays() -> None:
    """The grid itself comes back."""
    assert fitted(WIDE, WIDE.width()) is WIDE


def test_headings_break_first() -> None:
    """Behind an underscore; cells stay as they are."""
    found = fitted(WIDE, WIDE.width() - 1)
    assert found.columns == ("network", "step", "weight_\nbytes", "change")
    assert found.rows == WIDE.rows
    assert found.width() < WIDE.width()


def test_then_cells_break() -> None:
    """A search's addition to a step's name gets a line of its own."""
    found = fitted(WIDE, 46)
    assert found.rows[1][1] == "evaluate_\nretrain\n@r250"
    assert found.rows[0][2] == "96.6 KiB"
    assert found.width() <= 46


def test_the_narrowest_turn() -> None:
    """Columns become rows where that is narrower, with all their cells."""
    many = Grid(
        ("network", *(f"metric{i}" for i in range(9))),
        (("float model", *"123456789"), ("integer graph", *"987654321")),
    )
    found = fitted(many, 40)
    assert found.columns == ("network", "float model", "integer graph")
    assert found.rows[0] == ("metric0", "1", "9")
    assert len(found.rows) == 9
    assert found.width() <= 40


@pytest.mark.parametrize("width", range(10, 90, 7))
def test_no_text_is_lost(width: int) -> None:
    """Whatever the width, the letters are the same."""
    found = fitted(WIDE, width)
    letters = sorted("".join([*found.columns, *sum(found.rows, ())]).replace("\n", ""))
    assert letters == sorted("".join([*WIDE.columns, *sum(WIDE.rows, ())]))


def test_numbers_keep_their_units() -> None:
    """A unit on the next line would be read as another number's."""
    assert Grid(("a",), (("6.0 KiB",),)).width() - Grid(("a",), (("KiB",),)).width() == 4
    assert Grid(("a",), (("6.0 KiB",), ("–",))).is_number(0)
    assert not Grid(("a",), (("two words",),)).is_whole(0)
