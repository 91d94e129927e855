"""Training logs, the best epoch of one, and lines of status."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError, LimitError
from nibblefit_tao.logs.status import Trained, read_status, status_lines
from nibblefit_tao.logs.training_log import best_epoch, log_text, read_log


def test_the_best_epoch_is_the_documented_one(shared: Path) -> None:
    """50 by the rule; 40 where only 20 and 40 were saved."""
    rows = read_log(shared / "vendor" / "tao" / "logs" / "ssd_training_log_sample.csv")
    assert best_epoch(rows) == 50
    assert best_epoch(rows, {20, 40}) == 40
    assert best_epoch(rows, range(1, 81), metric="AP_cyclist") == 60
    with pytest.raises(LimitError, match="no epoch has both a finite mAP and a checkpoint"):
        best_epoch(rows, {1, 2})
    with pytest.raises(InputError, match="no column 'map'; known: AP_car"):
        best_epoch(rows, metric="map")


@given(
    st.lists(
        st.tuples(
            st.sampled_from([math.nan, 0.1, 0.5, 0.7]), st.sampled_from([math.nan, 1.0, 2.0])
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_ties_go_to_the_smaller_loss_then_to_the_earlier(pairs: list[tuple[float, float]]) -> None:
    """Against a search in plain words."""
    rows = [
        {"epoch": float(i), "mAP": metric, "validation_loss": loss}
        for i, (metric, loss) in enumerate(pairs, start=1)
    ]
    finite = [row for row in rows if not math.isnan(row["mAP"])]
    if not finite:
        with pytest.raises(LimitError):
            best_epoch(rows)
        return
    top = [row for row in finite if row["mAP"] == max(r["mAP"] for r in finite)]
    losses = [row["validation_loss"] for row in top if not math.isnan(row["validation_loss"])]
    if losses:
        top = [row for row in top if row["validation_loss"] == min(losses)]
    assert best_epoch(rows) == int(top[0]["epoch"])


def test_histories_become_logs_that_read_back(tmp_path: Path) -> None:
    """Sorted columns, upper case first, nan where an epoch was not evaluated."""
    history = [
        {"epoch": 1, "step": 10, "loss": 2.5, "learning_rate": 0.1},
        {"epoch": 2, "step": 20, "loss": 1.5, "learning_rate": 0.2, "validation_map50": 0.5,
         "validation_loss": 3.0},
    ]  # fmt: skip
    path = tmp_path / "log.csv"
    path.write_text(log_text(history))
    assert path.read_text().splitlines()[0] == ("epoch,loss,lr,mAP,validation_loss")
    rows = read_log(path)
    assert math.isnan(rows[0]["mAP"])
    assert rows[1]["lr"] == 0.2
    assert best_epoch(rows) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: a training log begins"),
        ("epoch,loss\n", "holds no epoch"),
        ("epoch,loss\n1,2,3\n", "line 2: expected 2 numbers"),
        ("epoch,loss\n\n1,x\n", "line 3: expected 2 numbers"),
    ],
)
def test_damaged_logs_are_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    """One line each."""
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_log(tmp_path / "log.csv")
    with pytest.raises(InputError, match="cannot read the training log"):
        read_log(tmp_path / "none.csv")


def test_status_files_are_read(shared: Path, tmp_path: Path) -> None:
    """The sample parses; other lines are refused by number."""
    lines = read_status(shared / "vendor" / "tao" / "logs" / "status_sample.json")
    assert [line["status"] for line in lines] == [
        "STARTED", "RUNNING", "RUNNING", "SUCCESS", "RUNNING",
    ]  # fmt: skip
    assert lines[-1]["kpi"]["pruning_ratio"] == 0.22
    (tmp_path / "s.json").write_text('{"status": "SUCCESS"}\n\n{"status": "DONE"}\n')
    with pytest.raises(InputError, match=r"line 3: .* is no line of status"):
        read_status(tmp_path / "s.json")


def test_a_run_becomes_lines_of_status(tmp_path: Path) -> None:
    """In TAO's words, dates without leading zeros, time per epoch, the ratio as a figure."""
    journal = [
        {"time": "2026-03-04T09:05:07.000+00:00", "event": "started", "step": "train"},
        {"time": "2026-03-04T09:07:07.000+00:00", "event": "finished", "step": "train"},
        {"time": "2026-03-04T09:08:00.000+00:00", "event": "finished", "step": "prune"},
        {"time": "2026-03-04T09:09:00.000+00:00", "event": "failed", "step": "retrain",
         "problem": "p"},
    ]  # fmt: skip
    trained = Trained("train", [{"loss": 2.0, "learning_rate": 0.1}] * 2, 120.0)
    ratio = {"pruning_ratio": 0.22, "size": 11.3, "param_count": 2.93}
    path = tmp_path / "status.json"
    path.write_text("\n".join(status_lines(journal, {"train": trained}, {"prune": ratio})))
    lines = read_status(path)
    assert [line["status"] for line in lines] == [
        "STARTED", "RUNNING", "RUNNING", "SUCCESS", "RUNNING", "FAILURE",
    ]  # fmt: skip
    assert (lines[0]["date"], lines[0]["time"]) == ("3/4/2026", "9:5:7")
    assert lines[1]["time_per_epoch"] == "0:01:00.000000"
    assert lines[1]["eta"] == "0:01:00.000000"
    assert lines[1]["time"] == "9:6:7"
    assert lines[4]["kpi"] == ratio
    assert json.loads(path.read_text().splitlines()[1])["graphical"]["loss"] == "2.0"
