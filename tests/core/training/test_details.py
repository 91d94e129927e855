"""Figures of single classes: kept in the history, and nowhere in the way."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.core.training.toys import TASK, Recorder, Stop, digest, network, run

from nibblefit.defaults.train import kept_in_words
from nibblefit.results import Report
from nibblefit.tasks.classification import Classification
from nibblefit.tasks.protocol import DetailedSink, MetricSink
from nibblefit.training.fit import FitResult, fit
from nibblefit.training.history import detail_in, figures_of, named_details

pytest.importorskip("lightning", reason="extra 'train' is not installed")


class Sink:
    """The classification's sink, which also tells how many samples it saw of each class."""

    def __init__(self, inner: MetricSink) -> None:
        self._inner = inner
        self._seen: dict[str, float] = {"dark, or so": 0, "bright": 0}

    def update(self, outputs: Sequence[Any], target: Any) -> None:
        """Count."""
        self._inner.update(outputs, target)
        for name, label in zip(self._seen, (0, 1), strict=True):
            self._seen[name] += int((target == label).sum())

    def compute(self) -> Mapping[str, float]:
        """Return the metrics of the classification."""
        return self._inner.compute()

    def report(self, subject: str) -> Report:
        """Return the report of the classification."""
        return self._inner.report(subject)

    def details(self) -> Mapping[str, Mapping[str, float]]:
        """Return the counts, and one figure that is no number."""
        return {"top1": {**self._seen, "none": math.nan}}


class Detailed(Classification):
    """A task whose sink has details."""

    def metrics(self) -> Any:
        """Return the detailed sink."""
        return Sink(super().metrics())


DETAILED = Detailed(("dark", "bright"))
COLUMNS = {"validation_top1[dark, or so]": 10.0, "validation_top1[bright]": 10.0}


def train(folder: Path, task: Classification, recorder: Recorder | None = None,
          stop: int = 10**9) -> FitResult:  # fmt: skip
    """Train the tiny network."""
    made = replace(run(folder, recorder, epochs=3), task=task)
    return fit(made, network(), task, made.data, made.recipe.train, [Stop(stop)])


def test_details_stand_in_the_log_and_change_nothing_else(tmp_path: Path) -> None:
    """The same weights, the same choice, the same lines with and without them."""
    plain_told, told = Recorder(), Recorder()
    plain, found = train(tmp_path / "a", TASK, plain_told), train(tmp_path / "b", DETAILED, told)
    assert digest(found.network) == digest(plain.network)
    assert found.choice == plain.choice
    assert told.figures == plain_told.figures
    in_words, plain_words = (kept_in_words(replace(r, seconds=())) for r in (found, plain))
    assert in_words == plain_words
    with (tmp_path / "b" / "files" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, record, before in zip(rows, found.history, plain.history, strict=True):
        assert {name: float(row[name]) for name in COLUMNS} == COLUMNS
        assert record == {**before, **COLUMNS}


def test_a_training_with_details_resumes_bit_for_bit(tmp_path: Path) -> None:
    """History, choice and log are those of one that was never stopped."""
    whole = train(tmp_path / "whole", DETAILED)
    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path / "cut", DETAILED, stop=9)
    resumed = train(tmp_path / "cut", DETAILED)
    assert digest(resumed.network) == digest(whole.network)
    assert (resumed.history, resumed.choice) == (whole.history, whole.choice)
    logs = [(tmp_path / n / "files" / "history.csv").read_bytes() for n in ("whole", "cut")]
    assert logs[0] == logs[1]


def test_a_training_stopped_before_there_were_details_goes_on(tmp_path: Path) -> None:
    """Its first epochs lack the columns; all rows are in one log."""
    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path, TASK, stop=9)
    found = train(tmp_path, DETAILED)
    assert [COLUMNS.items() <= record.items() for record in found.history] == [False, False, True]
    with (tmp_path / "files" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["validation_top1[bright]"] for row in rows] == ["", "", "10.0"]


def test_names_of_details_tell_metric_and_part() -> None:
    """Whatever a class is called; figures that are no numbers are left out."""
    parts = {"a]b[c": 1.0, "": 2.0, "x, y\n": 3.0, "gone": math.nan}
    named = dict(named_details({"ap50": parts}))
    assert [detail_in(name) for name in named] == [
        ("ap50", "a]b[c"), ("ap50", ""), ("ap50", "x, y\n"),
    ]  # fmt: skip
    assert detail_in("validation_top1") is None
    assert figures_of({"epoch": 1.0, "step": 2.0, "loss": 3.0, **named}) == {"loss": 3.0}
    assert isinstance(DETAILED.metrics(), DetailedSink)
    assert not isinstance(TASK.metrics(), DetailedSink)
