"""What trainings and prunings leave in their folders, in TAO's formats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from nibblefit.training.history import write_seconds
from nibblefit_tao.logs.naming import LOG_FILE
from nibblefit_tao.logs.of_step import (
    STATUS_FILE,
    now,
    write_finished,
    write_pruning,
    write_training,
)
from nibblefit_tao.logs.status import read_status
from nibblefit_tao.logs.training_log import best_epoch, read_log

HISTORY = [
    {"epoch": 1.0, "step": 4.0, "learning_rate": 0.1, "loss": 2.0},
    {"epoch": 2.0, "step": 8.0, "learning_rate": 0.2, "loss": 1.5, "validation_loss": 1.25,
     "validation_map50": 0.5},
]  # fmt: skip


def moment(line: dict[str, str]) -> datetime:
    """Return when a line was written."""
    return datetime.strptime(f"{line['date']} {line['time']}", "%m/%d/%Y %H:%M:%S")  # noqa: DTZ007


def test_a_training_leaves_its_log_and_its_lines(tmp_path: Path) -> None:
    """Each epoch with the time it took; validation in TAO's words where there was one."""
    write_seconds(tmp_path, [10.0, 30.5])
    write_training(tmp_path, "train", "net", HISTORY)
    rows = read_log(tmp_path / LOG_FILE)
    assert [row["lr"] for row in rows] == [0.1, 0.2]
    assert best_epoch(rows) == 2
    started, first, second, measured, ended = read_status(tmp_path / STATUS_FILE)
    assert (started["status"], ended["status"]) == ("STARTED", "SUCCESS")
    assert [line["time_per_epoch"] for line in (first, second)] == [
        "0:00:10.000000", "0:00:30.500000",
    ]  # fmt: skip
    assert first["eta"] == "0:00:10.000000"
    assert measured["graphical"] == {"validation loss": 1.25, "mean average precision": 0.5}
    assert timedelta(seconds=40) <= moment(ended) - moment(started) <= timedelta(seconds=41)
    assert timedelta(seconds=9) <= moment(first) - moment(started) <= timedelta(seconds=11)


def test_epochs_of_unknown_duration_take_no_time(tmp_path: Path) -> None:
    """Without the file of durations, or with a damaged one."""
    (tmp_path / "seconds.csv").write_text("epoch,seconds\n1,x\n")
    write_training(tmp_path, "train", "net", HISTORY)
    lines = read_status(tmp_path / STATUS_FILE)
    assert lines[1]["time_per_epoch"] == "0:00:00.000000"


def test_a_pruning_tells_its_ratio_and_that_it_is_done(tmp_path: Path) -> None:
    """As TAO does, with size and parameters as figures, from when it began."""
    kpi = {"pruning_ratio": 0.22, "size": 11.3, "param_count": 2.93}
    begun = datetime(2026, 3, 4, 9, 5, 7, tzinfo=UTC)
    write_pruning(tmp_path, "prune@r220", begun, kpi)
    started, told, ended = read_status(tmp_path / STATUS_FILE)
    assert (started["status"], started["date"], started["time"]) == ("STARTED", "3/4/2026", "9:5:7")
    assert told["message"] == "Pruning ratio (pruned model / original model): 0.22"
    assert told["kpi"] == kpi
    assert (ended["status"], ended["message"]) == ("SUCCESS", "Pruning finished successfully.")


def test_an_evaluation_begins_and_succeeds(tmp_path: Path) -> None:
    """Two lines."""
    write_finished(tmp_path, "evaluate_train", now())
    lines = read_status(tmp_path / STATUS_FILE)
    assert [line["status"] for line in lines] == ["STARTED", "SUCCESS"]
    assert lines[1]["message"] == "Evaluation finished successfully."


def test_a_detectors_log_has_taos_name_and_a_column_for_each_class(tmp_path: Path) -> None:
    """Old trainings without figures of classes still become a log."""
    rows = [{**HISTORY[0]}, {**HISTORY[1], "validation_ap50[red cell]": 0.25}]
    write_training(tmp_path, "train", "SsdResNet18", rows)
    text = (tmp_path / "ssd_training_log_resnet18.csv").read_text()
    assert text == (
        "epoch,AP_red cell,loss,lr,mAP,validation_loss\n"
        "1,nan,2.0,0.1,nan,nan\n2,0.25,1.5,0.2,0.5,1.25\n"
    )
