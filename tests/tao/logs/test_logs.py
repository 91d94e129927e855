"""Training logs, the best epoch of one, and lines of status."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError, LimitError
from nibblefit_tao.logs.naming import log_file
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
        ("epoch,loss\n1,2\n2", "line 3: expected 2 numbers, found '2'"),
        ("epoch,loss\nnan,2\n", "line 2: expected 2 numbers"),
        ("epoch,loss\ninf,2\n", "line 2: expected 2 numbers"),
        ("epoch," + "x" * 200_000, "field larger than"),
        ('{"status": "RUNNING"}\n', "line 1: a training log begins"),
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
        "STARTED", "RUNNING", "RUNNING", "SUCCESS", "RUNNING", "SUCCESS", "FAILURE",
    ]  # fmt: skip
    assert (lines[0]["date"], lines[0]["time"]) == ("3/4/2026", "9:5:7")
    assert lines[1]["time_per_epoch"] == "0:01:00.000000"
    assert lines[1]["eta"] == "0:01:00.000000"
    assert lines[1]["time"] == "9:6:7"
    assert lines[4]["kpi"] == ratio
    assert json.loads(path.read_text().splitlines()[1])["graphical"]["loss"] == "2.0"


def test_classes_have_columns_of_their_own_as_in_the_sample(shared: Path, tmp_path: Path) -> None:
    """The sample's own numbers come back byte for byte, but for zeros at the end."""
    sample = shared / "vendor" / "tao" / "logs" / "ssd_training_log_sample.csv"
    ours = {"lr": "learning_rate", "mAP": "validation_map50"} | {
        f"AP_{name}": f"validation_ap50[{name}]" for name in ("car", "cyclist", "pedestrian")
    }
    history = [
        {ours.get(name, name): value for name, value in row.items() if not math.isnan(value)}
        for row in read_log(sample)
    ]
    text = log_text(history)
    path = tmp_path / "ssd_training_log_resnet18.csv"
    path.write_text(text)
    for found, expected in zip(text.splitlines(), sample.read_text().splitlines(), strict=True):
        assert found.split(",") == [
            cell.rstrip("0") if "." in cell else cell for cell in expected.split(",")
        ]
    assert best_epoch(read_log(path)) == best_epoch(read_log(sample)) == 50


@given(st.floats(allow_nan=False, allow_infinity=False, width=64))
def test_numbers_read_back_equal_without_an_exponent(value: float) -> None:
    """TAO writes 0.00006211, not 6.211e-05."""
    line = log_text([{"epoch": 1, "loss": value}]).splitlines()[1]
    assert "e" not in line
    assert float(line.partition(",")[2]) == value


def test_any_name_of_a_class_reads_back(tmp_path: Path) -> None:
    """Commas, brackets and lines in it do not break the table."""
    names = ("a,b", 'say "x"', "[y]", "two\nlines")
    row = {"epoch": 1, **{f"validation_ap50[{name}]": 0.5 for name in names}}
    path = tmp_path / "log.csv"
    path.write_text(log_text([row]), newline="")
    assert set(read_log(path)[0]) == {"epoch", *(f"AP_{name}" for name in names)}


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("SsdResNet18", "ssd_training_log_resnet18.csv"),
        ("dssd_vgg_16", "dssd_training_log_vgg16.csv"),
        ("ResNet18", "training_log.csv"),
        ("ssd", "training_log.csv"),
        ("SsdResNet18Small", "training_log.csv"),
    ],
)
def test_logs_have_taos_names_where_the_network_is_one_of_its_own(network: str, name: str) -> None:
    """Kind, backbone and number of layers must all be known."""
    assert log_file(network) == name


def test_status_lines_are_those_of_the_sample(shared: Path) -> None:
    """Line by line: keys in their order, messages, verbosity, date and time without padding."""
    sample = read_status(shared / "vendor" / "tao" / "logs" / "status_sample.json")
    journal = [
        {"time": "2023-03-14T09:05:07", "event": "started", "step": "train"},
        {"time": "2023-03-14T09:05:55.120", "event": "finished", "step": "train"},
        {"time": "2023-03-14T10:11:00", "event": "finished", "step": "prune"},
    ]
    row = {"epoch": 1.0, "loss": 9.8312, "learning_rate": 6.2e-05, "validation_loss": 4.3312,
           "validation_map50": 0.24018, "validation_ap50[car]": 0.4}  # fmt: skip
    kpi = {"pruning_ratio": 0.22, "size": 11.3, "param_count": 2.93}
    trained = {"train": Trained("train", [row], 48.12, (48.12,))}
    lines = [json.loads(line) for line in status_lines(journal, trained, {"prune": kpi})]
    assert [line["message"] for line in lines[-1:]] == ["Pruning finished successfully."]
    for found, expected in zip(lines[:-1], sample, strict=True):
        assert list(found) == list(expected)
        for key in ("status", "verbosity", "message", "graphical", "kpi", "time_per_epoch"):
            assert found.get(key) == expected.get(key)
    assert [(line["date"], line["time"]) for line in lines[:2]] == [
        (line["date"], line["time"]) for line in sample[:2]
    ]


@pytest.mark.parametrize(
    ("step", "messages"),
    [
        ("retrain@r220", ("Starting Training Loop.", "Training finished successfully.",
                          "Training was interrupted")),
        ("prune@r220", ("Starting pruning.", "Pruning finished successfully.",
                        "Pruning was interrupted")),
        ("evaluate_retrain@r220", ("Starting evaluation.", "Evaluation finished successfully.",
                                   "Evaluation was interrupted")),
        ("compile", ("Starting export.", "Export finished successfully.",
                     "Export was interrupted")),
        ("quantize", ("Starting quantize.", "Quantize finished successfully.",
                      "Quantize was interrupted")),
    ],
)  # fmt: skip
def test_every_task_begins_and_ends_in_taos_words(step: str, messages: tuple[str, ...]) -> None:
    """Started, finished, interrupted, and failed with the reason."""
    events = ("started", "finished", "interrupted", "failed")
    journal = [
        {"time": "2026-01-02T03:04:05", "event": event, "step": step, "problem": "no room"}
        for event in events
    ]
    lines = [json.loads(line) for line in status_lines(journal, {}, {})]
    assert [line["message"] for line in lines] == [*messages, "no room"]
    assert [line["status"] for line in lines] == ["STARTED", "SUCCESS", "FAILURE", "FAILURE"]
