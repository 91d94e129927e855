"""Which epoch is kept: metric, then validation loss, then order, among those with a checkpoint."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.training.toys import TASK, Recorder, Stop, digest, network, run, source

from nibblefit.data.source import Split
from nibblefit.tasks.classification import Classification
from nibblefit.training.choice import Judged, is_better, is_preferred, judged, reason
from nibblefit.training.fit import FitResult, fit

pytest.importorskip("lightning", reason="extra 'train' is not installed")

METRICS = st.sampled_from([0.25, 0.5, 0.75, math.nan, math.inf, -math.inf])
LOSSES = st.sampled_from([0.1, 0.2, math.nan, math.inf, None])


class Scripted(Classification):
    """A task whose validation metrics and losses are written down beforehand."""

    script: tuple[tuple[float, float], ...] = ()

    def metrics(self):
        sink, script = super().metrics(), self.script
        epoch = next(self.epochs)
        sink.compute = lambda: {"top1": script[epoch][0], "loss": script[epoch][1]}
        return sink

    def __init__(self, *script: tuple[float, float]) -> None:
        super().__init__(TASK.class_names)
        self.script = script
        self.epochs = itertools.count()


def train(folder: Path, script: list[tuple[float, float]], recorder: Recorder | None = None,
          **settings: object) -> FitResult:  # fmt: skip
    """Train the tiny network while validation finds what the script says."""
    made = run(folder, recorder, epochs=len(script), **settings)
    return fit(made, network(), Scripted(*script), made.data, made.recipe.train)


@given(st.lists(st.tuples(METRICS, LOSSES), min_size=1, max_size=8), st.booleans())
def test_the_rule_is_metric_then_loss_then_order(
    epochs: list[tuple[float, float | None]], maximize: bool
) -> None:
    """Compared with sorting all epochs at once; those without a finite metric never win."""
    best: Judged | None = None
    for number, (value, loss) in enumerate(epochs, start=1):
        record: dict[str, float] = {"epoch": number, "validation_top1": value}
        if loss is not None:
            record["validation_loss"] = loss
        found = judged(record, "top1")
        if found is not None and is_preferred(found, best, maximize=maximize):
            best = found
    usable = [(n, v, x) for n, (v, x) in enumerate(epochs, start=1) if math.isfinite(v)]
    if not usable:
        assert best is None
        return
    value = (max if maximize else min)(v for _, v, _ in usable)
    equal = [(math.inf if x is None or not math.isfinite(x) else x, n)
             for n, v, x in usable if v == value]  # fmt: skip
    assert best is not None
    assert (best.value, best.epoch) == (value, min(equal)[1])


def test_only_the_metric_counts_as_an_improvement() -> None:
    """Early stopping does not wait for a loss that goes on falling."""
    assert is_better(Judged(1, 0.5), None, maximize=True)
    assert not is_better(Judged(2, 0.5, 0.1), Judged(1, 0.5, 0.2), maximize=True)
    assert is_better(Judged(2, 0.4), Judged(1, 0.5), maximize=False)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], "highest validation_top1"),
        ([Judged(2, 0.5, 0.3)], "of 2 equal ones that with the lowest validation_loss"),
        ([Judged(9, 0.5, 0.2)], "of 2 equal ones the first with the lowest validation_loss"),
    ],
)
def test_the_reason_names_what_decided(others: list[Judged], words: str) -> None:
    """The loss where it tells equal epochs apart, the order where it does not."""
    best = Judged(5, 0.5, 0.2)
    said = reason(best, [best, *others], best, "top1", maximize=True, every=1)
    assert said.endswith(words)
    unknown = Judged(5, 0.5)
    said = reason(unknown, [Judged(7, 0.5)], unknown, "top1", maximize=False, every=1)
    assert said == "lowest validation_top1, of 2 equal ones the first"


def test_equal_epochs_are_told_apart_by_their_loss(tmp_path: Path) -> None:
    """The weights are those of the epoch with the lower loss; log and reason say so."""
    script = [(0.5, 0.9), (0.75, 0.8), (0.75, 0.4), (0.75, 0.6)]
    found = train(tmp_path / "a", script)
    assert found.chosen_epoch == found.choice.epoch == 3
    assert found.choice.why == (
        "highest validation_top1, of 3 equal ones that with the lowest validation_loss"
    )
    assert len(found.seconds) == 4
    with (tmp_path / "a" / "files" / "history.csv").open() as file:
        assert [row["kept"] for row in csv.DictReader(file)] == ["0", "0", "1", "0"]
    last = train(tmp_path / "c", script, choose="last")
    assert (last.chosen_epoch, last.choice.why) == (4, "the last, as train.choose asks")


def test_an_epoch_without_a_checkpoint_is_not_chosen(tmp_path: Path) -> None:
    """Every second epoch and the last one are saved; the reason tells what was passed over."""
    script = [(1.0, 0.1), (0.5, 0.9), (0.9, 0.2), (0.75, 0.5), (0.25, 0.5)]
    found = train(tmp_path, script, checkpoint_every=2)
    assert found.chosen_epoch == 4
    assert found.choice.why == (
        "highest validation_top1 of the epochs with a checkpoint, every 2; epoch 1 had 1 but no "
        "checkpoint"
    )
    last = train(tmp_path / "b", [*script[:4], (0.9, 0.5)], checkpoint_every=2)
    assert last.chosen_epoch == 5


def test_a_checkpoint_interval_does_not_stop_earlier(tmp_path: Path) -> None:
    """Patience counts every epoch; the one it ends with is saved and may be chosen."""
    script = [(0.1, 1.0), (0.2, 1.0), (0.9, 1.0), (0.8, 1.0), (0.8, 0.5), (0.7, 1.0), (1.0, 1.0)]
    found = train(tmp_path, script, checkpoint_every=4, early_stop=2)
    assert (len(found.history), found.chosen_epoch) == (5, 5)


def test_without_a_finite_metric_the_last_epoch_is_kept_with_a_warning(tmp_path: Path) -> None:
    """It is not hidden that nothing was chosen; without validation samples that is no news."""
    recorder = Recorder()
    found = train(tmp_path / "a", [(math.nan, 1.0), (math.inf, 1.0)], recorder)
    assert (found.chosen_epoch, found.choice.judged) == (2, False)
    assert recorder.warned == ["kept epoch 2 of 2: the last: no epoch has a finite validation_top1"]
    made = run(tmp_path / "b", recorder)
    fit(made, network(), TASK, source(validation=0), made.recipe.train)
    assert len(recorder.warned) == 1


@pytest.mark.parametrize("stop", [5, 11, 14])
def test_a_resumed_training_chooses_the_same(tmp_path: Path, stop: int) -> None:
    """With checkpoints every second epoch and ties, whenever it was stopped."""
    settings = {"epochs": 6, "checkpoint_every": 2, "early_stop": 4}
    never = Stop(10**9)
    made = run(tmp_path / "whole", **settings)
    whole = fit(made, network(), TASK, made.data, made.recipe.train, [never])
    made = run(tmp_path / "cut", **settings)
    with pytest.raises(RuntimeError, match="stopped"):
        fit(made, network(), TASK, made.data, made.recipe.train, [Stop(stop)])
    resumed = fit(made, network(), TASK, made.data, made.recipe.train, [never])
    assert digest(resumed.network) == digest(whole.network)
    assert (resumed.choice, resumed.history) == (whole.choice, whole.history)
    logs = [(tmp_path / n / "files" / "history.csv").read_bytes() for n in ("whole", "cut")]
    assert logs[0] == logs[1]
    assert made.data.split(Split.VALIDATION)


def test_the_best_of_the_published_log(shared: Path) -> None:
    """Epoch 50 of TAO's log, and 40 where only 20 and 40 have checkpoints."""
    folder = shared / "vendor" / "tao" / "logs"
    (path,) = [p for p in folder.rglob("*.csv") if "mAP" in p.read_text().splitlines()[0]][:1]
    rows = [
        {re.sub("^mAP$", "validation_mAP", name): float(cell) for name, cell in row.items()}
        for row in csv.DictReader(path.read_text().splitlines())
    ]
    assert _best(rows, None) == 50
    assert _best(rows, {20, 40}) == 40


def _best(rows: list[dict[str, float]], saved: set[int] | None) -> int:
    best: Judged | None = None
    for row in rows:
        record: Mapping[str, float] = row
        found = judged(record, "mAP")
        usable = saved is None or int(row["epoch"]) in saved
        if found is not None and usable and is_preferred(found, best, maximize=True):
            best = found
    assert best is not None
    return best.epoch
