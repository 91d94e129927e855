"""Candidates that cannot be carried out: out of the race, and remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.pipeline.test_groups import search
from tests.core.pipeline.toys import Toy, go, toy_recipe

from nibblefit.errors import (
    InputError,
    LimitError,
    NibblefitError,
    UnsupportedError,
    WorkspaceError,
)


def refusing(step: str, error: Exception) -> Toy:
    """Return a toy that cannot carry out one step of a search."""
    toy = Toy(search())

    def fail(name: str) -> None:
        if name == f"{step}:begin":
            raise error

    toy.moment = fail
    return toy


@pytest.mark.parametrize("error", [LimitError("too much", hint="less"), UnsupportedError("no")])
def test_what_cannot_be_carried_out_is_not_tried_again(
    tmp_path: Path, error: NibblefitError
) -> None:
    """The reason stays in the table; starting after the search works; force tries it again."""
    go(tmp_path, refusing("tune@high", error))
    again = Toy(search())
    outcome = go(tmp_path, again)
    assert again.calls == []
    assert outcome.searches[0].winner == "same"
    assert outcome.searches[0].table.rows[1][:3] == ("high", False, error.what)
    assert go(tmp_path, Toy(search()), from_="final").searches[0].winner == "same"
    forced = Toy(search())
    assert go(tmp_path, forced, force="search").searches[0].winner == "high"
    assert "tune@high" in forced.calls
    assert go(tmp_path, Toy(search())).searches[0].winner == "high"
    assert not list(tmp_path.rglob("*.refused.json"))


def test_a_refusal_counts_for_its_own_settings_only(tmp_path: Path) -> None:
    """Another seed, or a damaged note, and the step is tried again."""
    go(tmp_path, refusing("tune@high", LimitError("too much")))
    (note,) = tmp_path.rglob("*.refused.json")
    text = note.read_text()
    note.write_text(text[:20])
    assert go(tmp_path, Toy(search())).searches[0].winner == "high"
    go(tmp_path / "b", refusing("tune@high", LimitError("too much")))
    other = go(tmp_path / "b", Toy(search()), toy_recipe(run__seed=7))
    assert other.searches[0].winner == "high"


def test_a_search_without_any_that_can_be_carried_out_stops(tmp_path: Path) -> None:
    """Every reason is told, again when the run is taken up again."""
    toy = Toy(search())

    def fail(name: str) -> None:
        if name.startswith("tune@"):
            raise LimitError(f"{name} is too much")

    toy.moment = fail
    for _ in range(2):
        with pytest.raises(LimitError, match=r"(.|\n)*• low: tune@low(.|\n)*• same: tune@same"):
            go(tmp_path, toy)
    assert toy.calls == ["prepare", "tune@low", "tune@high", "tune@same"]


@pytest.mark.parametrize("error", [InputError("no file"), WorkspaceError("full"), OSError("x")])
def test_errors_that_are_not_the_candidates_own_stop_the_run(
    tmp_path: Path, error: Exception
) -> None:
    """A crash, a missing file or a full disk says nothing about a candidate."""
    with pytest.raises(NibblefitError):
        go(tmp_path, refusing("tune@high", error))
    assert not list(tmp_path.rglob("*.refused.json"))
    assert go(tmp_path, Toy(search())).searches[0].winner == "high"
