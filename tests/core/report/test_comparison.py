"""Rounds and candidates side by side: names, the winner, and what each is compared with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.core.pipeline.toys import Toy, go
from tests.core.report.run_folders import make_run

from nibblefit import open_run
from nibblefit.cli.summary import (
    accuracy_table,
    closing_lines,
    left_over_line,
    steps_table,
    summary_of,
)
from nibblefit.errors import LimitError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Candidates, Gate, Plan, PlanItem, Repeat, Stage, Step
from nibblefit.report.collect import contents_of
from nibblefit.report.contents import Measured
from nibblefit.report.searches import search_tables
from nibblefit.workspace import RunFolder

START: Plan = (
    Step(Stage.PREPARE, "prepare"),
    Step(Stage.TRAIN, "float", options=frozen_mapping({"phase": "float"})),
    Step(Stage.EVALUATE, "evaluate_float"),
)
INTEGERS: Plan = (Step(Stage.QUANTIZE, "shrink"), Step(Stage.EVALUATE, "score"))


def _search(*body: PlanItem, **changes: Any) -> Plan:
    settings = frozen_mapping({"a": {"target.quality": 0.6}, "b": {"target.quality": 0.95}})
    item = Candidates("pick", settings, (*body, *INTEGERS), "score", "top1", **changes)
    return (*START, item, Step(Stage.EVALUATE, "final", subject="shrink"))


def _rounds(at_least: float, *, drop_from: str = "") -> Plan:
    body = (Step(Stage.PRUNE, "prune"), Step(Stage.EVALUATE, "look"))
    gate = Gate("sparse", "look", "zeros", at_least=at_least, drop_from=drop_from, drop=1.0)
    return (*START, Repeat("loop", body, gate, 5), *INTEGERS)


def _measured(folder: Path) -> dict[str, Measured]:
    return {one.step: one for one in summary_of(open_run(folder)).measured}


def test_candidates_carry_their_names_and_the_winner_is_marked(tmp_path: Path) -> None:
    """Every candidate is compared with the float model, and the closing drop is the winner's."""
    go(tmp_path, Toy(_search(Step(Stage.TRAIN, "tune", options=frozen_mapping({"phase": "qat"})))))
    rows = _measured(tmp_path)
    assert list(rows) == ["evaluate_float", "score@a", "score@b", "final"]
    assert [one.against for one in rows.values()] == ["", *["evaluate_float"] * 3]
    assert [one.chosen for one in rows.values()] == ["", "", "winner", ""]
    assert [one.final for one in rows.values()] == [True, False, True, True]
    summary = summary_of(open_run(tmp_path))
    assert summary.drop == pytest.approx(0.9 - 0.95)
    table = accuracy_table(summary)
    assert [row[1] for row in table.rows] == list(rows)
    changes = [row[table.columns.index("change")] for row in table.rows]
    assert changes == ["–", "drop 30.00 points", "gain 5.00 points", "gain 5.00 points"]
    assert [row[table.columns.index("chosen")] for row in table.rows] == ["", "", "winner", ""]
    shown = [line.value for line in contents_of(open_run(tmp_path)).headlines]
    assert "60.00 %" not in shown
    assert "95.00 %" in shown


def test_a_candidate_is_compared_with_its_own_float_model(tmp_path: Path) -> None:
    """Candidates that train a float model each are never compared with another's."""
    body = (
        Step(Stage.TRAIN, "tune", options=frozen_mapping({"phase": "float"})),
        Step(Stage.EVALUATE, "look"),
    )
    go(tmp_path, Toy(_search(*body)))
    rows = _measured(tmp_path)
    assert {step: rows[step].against for step in ("score@a", "score@b", "final")} == {
        "score@a": "look@a", "score@b": "look@b", "final": "look@b"
    }  # fmt: skip
    assert rows["look@b"].against == ""
    table = accuracy_table(summary_of(open_run(tmp_path)))
    assert "none from look@a" in {row[table.columns.index("change")] for row in table.rows}


def test_rounds_are_not_compared_with_each_other(tmp_path: Path) -> None:
    """Integers are compared with the last round's float model; without a gate a round is not."""
    go(tmp_path, Toy(_rounds(0.25)))
    rows = _measured(tmp_path)
    assert list(rows) == ["evaluate_float", "look@1", "look@2", "look@3", "score"]
    assert [one.against for one in rows.values()] == ["", "", "", "", "look@3"]
    assert [one.chosen for one in rows.values()] == ["", "", "", "last round", ""]


@pytest.mark.parametrize("drop_from", ["evaluate_float", "look"])
def test_a_gate_decides_what_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drop_from: str
) -> None:
    """`drop_from` outside the group is one step for all rounds, inside it is the same round's."""
    go(tmp_path, Toy(_rounds(0.25, drop_from=drop_from)))
    plan = _rounds(0.25, drop_from=drop_from)
    manager = SimpleNamespace(plan=lambda _: plan)
    monkeypatch.setattr("nibblefit.runner.make_manager", lambda _: manager)
    rows = _measured(tmp_path)
    suffix = "" if drop_from == "evaluate_float" else "@{}"
    for number in (1, 2, 3):
        assert rows[f"look@{number}"].against == drop_from + suffix.format(number)


def test_a_network_that_was_retrained_is_not_compared_with_what_pruning_left(
    tmp_path: Path,
) -> None:
    """Nobody uses the pruned network before it was trained again; the one before counts."""
    recover, qat = (frozen_mapping({"phase": phase}) for phase in ("recover", "qat"))
    go(tmp_path, Toy((
        Step(Stage.PREPARE, "prepare"),
        Step(Stage.TRAIN, "float", options=frozen_mapping({"phase": "float"})),
        Step(Stage.EVALUATE, "evaluate_float"),
        Step(Stage.PRUNE, "prune"), Step(Stage.EVALUATE, "look"),
        Step(Stage.TRAIN, "retrain", options=recover),
        Step(Stage.TRAIN, "qat", options=qat), Step(Stage.EVALUATE, "look_again"),
    )))  # fmt: skip
    rows = _measured(tmp_path)
    assert rows["look"].against == ""
    assert rows["look_again"].against == "evaluate_float"


def test_a_gate_behind_a_repeat_means_its_last_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain name answers to the round that the plan went on with."""
    plan = (*_rounds(0.25), Gate("max_drop", "score", "top1", drop_from="look", drop=0.5))
    go(tmp_path, Toy(plan))
    monkeypatch.setattr("nibblefit.runner.make_manager", lambda _: SimpleNamespace(
        plan=lambda _: plan))  # fmt: skip
    assert _measured(tmp_path)["score"].against == "look@3"


def test_a_search_without_winner_marks_none(tmp_path: Path) -> None:
    """If no candidate may win, none is called the winner, and all are shown."""
    floor = Gate("enough", "score", "top1", at_least=0.99)
    with pytest.raises(LimitError):
        go(tmp_path, Toy(_search(floor=floor)))
    rows = _measured(tmp_path)
    assert {"score@a", "score@b"} <= set(rows)
    assert {one.chosen for one in rows.values()} == {""}


def test_steps_of_an_earlier_plan_are_named_apart(tmp_path: Path) -> None:
    """After the plan has changed, only its own steps are listed, each with stage and time."""
    plain = (Step(Stage.QUANTIZE, "quantize"), Step(Stage.EVALUATE, "evaluate"))
    go(tmp_path, Toy(_search()))
    go(tmp_path, Toy((*START, *plain)))
    summary = summary_of(open_run(tmp_path))
    rows = steps_table(summary).rows
    assert [row[0] for row in rows] == [
        "prepare",
        "float",
        "evaluate_float",
        "quantize",
        "evaluate",
    ]
    assert all(row[1] and row[3] != "–" for row in rows)
    assert {row[4] for row in rows} == {"first run"}
    assert summary.left_over == ("shrink@a", "score@a", "shrink@b", "score@b", "final")
    assert left_over_line(summary) == (
        "left from an earlier plan: shrink@a, score@a, shrink@b, score@b, final"
    )
    assert contents_of(open_run(tmp_path)).left_over == summary.left_over
    assert "score@b" not in {one.step for one in summary.measured}


def test_rounds_beyond_the_last_are_left_over(tmp_path: Path) -> None:
    """Rounds that a looser gate no longer needs do not count any more."""
    go(tmp_path, Toy(_rounds(0.25)))
    go(tmp_path, Toy(_rounds(0.1)))
    summary = summary_of(open_run(tmp_path))
    assert summary.left_over == ("prune@3", "look@3")
    assert summary.measured[-1].against == "look@2"
    go(tmp_path, Toy(_rounds(0.1)), until="prepare")
    assert summary_of(open_run(tmp_path)).left_over == ("prune@3", "look@3")


def test_nothing_left_over_is_not_mentioned(tmp_path: Path) -> None:
    """A plan that never changed leaves the line out; a step not yet run is not left over."""
    go(tmp_path, Toy((*START, *INTEGERS)))
    go(tmp_path, Toy((*START, *INTEGERS)), until="prepare")
    assert left_over_line(summary_of(open_run(tmp_path))) == ""


def test_terminal_and_report_count_the_same_constants(tmp_path: Path) -> None:
    """Both name the float network as trained, not what training for integers made of it."""
    run = open_run(make_run(tmp_path / "run"))
    shown = {line.label: line for line in contents_of(run).headlines}["Size of constants"]
    assert shown.detail == "float32: 60 B, 6.7 times smaller"
    assert f"size of constants: {shown.value} ({shown.detail})" in closing_lines(summary_of(run))


def test_provenance_names_what_the_network_was_trained_with(tmp_path: Path) -> None:
    """Versions come from the journal; steps carried on elsewhere are told apart."""
    run = RunFolder(make_run(tmp_path / "run"))
    assert "torch" not in dict(contents_of(open_run(run.path)).provenance)
    run.journal.write("run", environment={"torch": "2.1", "numpy": "1.26"})
    for step in ("float", "qat"):
        run.journal.write("finished", step=step)
    lines = dict(contents_of(open_run(run.path)).provenance)
    assert (lines["torch"], lines["numpy"]) == ("2.1", "1.26")
    run.journal.write("run", environment={"torch": "2.2", "numpy": "1.26"})
    run.journal.write("finished", step="evaluate")
    lines = dict(contents_of(open_run(run.path)).provenance)
    assert lines["torch"] == "2.1"
    assert lines["torch by step"] == "float 2.1, qat 2.1, evaluate 2.2"
    assert "numpy by step" not in lines


def test_a_run_notes_its_environment(tmp_path: Path) -> None:
    """Every start writes the versions that compute into the journal."""
    import numpy as np

    go(tmp_path, Toy((*START, *INTEGERS)))
    lines = dict(contents_of(open_run(tmp_path)).provenance)
    assert lines["numpy"] == np.__version__
    assert all(lines[name] for name in ("torch", "onnx", "Python", "platform"))


def test_all_candidates_stand_in_one_table(tmp_path: Path) -> None:
    """What each sets, whether it wins, holds, is out or was not needed, and its metrics."""
    floor = Gate("enough", "score", "top1", at_least=0.5)
    go(tmp_path, Toy(_search(floor=floor, first_wins=True)))
    (table,) = search_tables(open_run(tmp_path))
    assert table.title == "Candidates of pick"
    assert table.columns[:3] == ("candidate", "sets", "outcome")
    assert [row[:3] for row in table.rows] == [
        ("a", "target.quality = 0.6", "wins"), ("b", "target.quality = 0.95", "not needed"),
    ]  # fmt: skip
    assert table.rows[0][table.columns.index("top1")].endswith(" %")
    assert set(table.rows[1][3:]) == {"–"}
    go(tmp_path, Toy(_search(floor=floor)))
    summary = summary_of(open_run(tmp_path))
    assert [row[2] for row in summary.searches[0].rows] == ["holds", "wins"]
    assert contents_of(open_run(tmp_path)).searches == summary.searches


def test_a_search_that_the_latest_start_did_not_reach_is_not_shown(tmp_path: Path) -> None:
    """Its table would be about another recipe."""
    go(tmp_path, Toy(_search()))
    assert search_tables(open_run(tmp_path))
    go(tmp_path, Toy(_search()), until="evaluate_float")
    assert search_tables(open_run(tmp_path)) == ()
