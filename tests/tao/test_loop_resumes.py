"""The loop stopped anywhere and taken up again: the same result, nothing done twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.tao.test_loop import EXAMPLE, QUICK

from nibblefit import open_run
from nibblefit.errors import InterruptedRunError
from nibblefit.recipe_file import read_recipe
from nibblefit.runner import run

pytestmark = pytest.mark.extra("train")

RECIPE = {**QUICK, "target.ratios": [0.08, 0.5], "evaluate.max_drop": 0.2,
          "train.checkpoint_every": 1, "train.retrain.epochs": 2}  # fmt: skip


class Impatient:
    """A reporter that presses Ctrl-C: when a step begins, or after some of its work."""

    def __init__(self, step: str = "", amount: int = 0) -> None:
        self.step_wanted, self.amount, self.current = step, amount, ""

    def say(self, message: str) -> None:
        """Show nothing."""

    def warn(self, message: str) -> None:
        """Show nothing."""

    def step(self, name: str, reason: str) -> None:
        """Stop where a step begins, unless work was to be done first."""
        self.current = name if reason else ""
        self._stop_at(0)

    def progress(self, label: str, total: int | None) -> Impatient:
        """Return itself as the bar."""
        self.done = 0
        return self

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Stop when enough was done."""
        self.done += amount
        self._stop_at(self.done)

    def _stop_at(self, done: int) -> None:
        if self.current == self.step_wanted and (done >= self.amount > 0 or done == self.amount):
            raise KeyboardInterrupt

    def __enter__(self) -> Impatient:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None


#: Files that tell times, which never repeat.
TIMED = ("manifest.json", "seconds.csv", "status.json")
#: Step and amount of its work → where the run is stopped, one after the other.
STOPS = (("train", 25), ("retrain@r080", 30), ("prune@r500", 0), ("retrain@r500", 25),
         ("quantize", 64), ("compile", 0))  # fmt: skip
MORE = (("evaluate_train", 0), ("prune@r080", 0), ("evaluate_retrain@r500", 0), ("evaluate", 100))


@pytest.mark.parametrize("stops", [STOPS, pytest.param(MORE, marks=pytest.mark.slow)])
def test_a_loop_stopped_everywhere_ends_as_if_it_never_was(
    tmp_path: Path, stops: tuple[tuple[str, int], ...]
) -> None:
    """In both trainings, while pruning, in the second candidate, in quantize, compile, evaluate."""
    recipe = read_recipe(EXAMPLE, RECIPE)
    whole = run(recipe, tmp_path / "whole")
    assert [search.winner for search in whole.searches] == ["r500"]
    for step, amount in stops:
        with pytest.raises(InterruptedRunError, match=f"during step '{step}'"):
            run(recipe, tmp_path / "cut", reporter=Impatient(step, amount))
    resumed = run(recipe, tmp_path / "cut")
    assert resumed.digests == whole.digests
    assert resumed.searches == whole.searches
    finished = Counter(
        event["step"] for event in open_run(tmp_path / "cut").journal()
        if event["event"] == "finished"
    )  # fmt: skip
    assert set(finished) == set(whole.digests)
    assert max(finished.values()) == 1
    for path in (tmp_path / "whole" / "stages").rglob("*"):
        if path.is_file() and path.name not in TIMED:
            other = tmp_path / "cut" / path.relative_to(tmp_path / "whole")
            assert other.read_bytes() == path.read_bytes(), path
