"""Gates, repeats and searches: every way through them, and resuming inside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.core.pipeline.toys import Toy, ToySources, ToyTask, go, ran, toy_recipe

from nibblefit import open_run
from nibblefit.errors import LimitError, PluginError, WorkspaceError
from nibblefit.hooks import hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Candidates, Gate, Plan, PlanItem, Repeat, Stage, Step
from nibblefit.results import Report
from nibblefit.runner.gates import check_gate
from nibblefit.runner.planning import check_plan

START = (Step(Stage.PREPARE, "prepare"),)


def loop(limit: float, at_most: int = 5) -> Plan:
    """Return a plan that prunes one weight per round until a share of zeros is reached."""
    body = (Step(Stage.PRUNE, "prune"), Step(Stage.EVALUATE, "look"))
    gate = Gate("sparse", "look", "zeros", at_least=limit, advice="prune.more = true")
    return (*START, Repeat("loop", body, gate, at_most), Step(Stage.QUANTIZE, "quantize"))


def test_a_repeat_runs_until_its_gate_holds(tmp_path: Path) -> None:
    """Each round starts from the one before; later steps see the last."""
    outcome = go(tmp_path, Toy(loop(0.25)))
    names = [record.name for record in outcome.steps]
    rounds = [f"{step}@{number}" for number in (1, 2, 3) for step in ("prune", "look")]
    assert names == ["prepare", *rounds, "quantize"]
    assert [gate.holds for gate in outcome.gates] == [False, False, True]
    opened = open_run(tmp_path)
    assert opened.report("look").metrics["zeros"] == 0.25
    assert opened.report("look@1").metrics["zeros"] == pytest.approx(1 / 12)
    assert opened.outcome("loop")["rounds"] == 3
    assert (tmp_path / "stages" / "02-loop" / "round-2" / "01-prune").is_dir()
    assert ran(go(tmp_path, Toy(loop(0.25)))) == []


def test_a_repeat_that_never_holds_stops_with_advice(tmp_path: Path) -> None:
    """The gate's advice is shown; all rounds are kept."""
    with pytest.raises(LimitError, match=r"after 2 rounds of 'loop'\n.*prune.more"):
        go(tmp_path, Toy(loop(0.9, at_most=2)))
    assert ran(go(tmp_path, Toy(loop(0.25)))) == ["prune@3", "look@3", "quantize"]


def search(**changes: Any) -> Plan:
    """Return a plan that tries three qualities and keeps one."""
    body: tuple[PlanItem, ...] = (
        Step(Stage.TRAIN, "tune", options=frozen_mapping({"phase": "float"})),
        Step(Stage.EVALUATE, "score"),
    )
    settings = frozen_mapping({
        "low": {"target.quality": 0.6, "train.epochs": 1},
        "high": {"target.quality": 0.8, "train.tune.epochs": 2},
        "same": {"target.quality": 0.8, "train.epochs": 4},
    })  # fmt: skip
    item = Candidates("search", settings, body, "score", "top1")
    return (*START, replace(item, **changes), Step(Stage.EVALUATE, "final"))


def test_the_best_candidate_wins_and_later_steps_see_it(tmp_path: Path) -> None:
    """Ties go to the earlier one; the winner's results and settings hold afterwards."""
    outcome = go(tmp_path, Toy(search()))
    assert outcome.searches[0].winner == "high"
    opened = open_run(tmp_path)
    assert opened.report("final").metrics["top1"] == 0.8
    assert opened.manifest("tune").step == "tune@high"
    facts = opened.outcome("search")
    assert [row[0] for row in facts["rows"]] == ["low", "high", "same"]
    assert facts["winner"] == "high"
    assert (tmp_path / "stages" / "02-search" / "low" / "01-tune" / "log.csv").is_file()
    events = [e for e in opened.journal() if e["event"] == "candidate"]
    assert [e["candidate"] for e in events] == ["low", "high", "same"]


def test_candidates_are_resumed_one_by_one(tmp_path: Path) -> None:
    """A stop inside one candidate costs that candidate's step only."""
    toy = Toy(search())

    def stop(name: str) -> None:
        if name == "tune@same:begin":
            raise KeyboardInterrupt

    toy.moment = stop
    with pytest.raises(Exception, match="tune@same"):
        go(tmp_path, toy)
    again = ran(go(tmp_path, Toy(search())))
    assert again == ["tune@same", "score@same", "final"]


def test_minimising_and_preferring_choose_otherwise(tmp_path: Path) -> None:
    """``prefer`` decides among the candidates that hold the floor."""
    assert go(tmp_path / "a", Toy(search(maximize=False))).searches[0].winner == "low"
    floor = Gate("enough", "score", "top1", at_least=0.7)
    plan = search(floor=floor, prefer="sum", maximize=False)
    opened = go(tmp_path / "b", Toy(plan))
    record = opened.searches[0]
    rows = {row[0]: row for row in record.table.rows}
    assert not rows["low"][1]
    sums = {name: row[record.table.columns.index("sum")] for name, row in rows.items()}
    assert record.winner == min(("high", "same"), key=lambda name: sums[name])


def test_the_first_acceptable_candidate_ends_the_search(tmp_path: Path) -> None:
    """With ``first_wins`` candidates after the first eligible one are not run."""
    floor = Gate("enough", "score", "top1", at_least=0.7)
    outcome = go(tmp_path, Toy(search(floor=floor, first_wins=True)))
    assert outcome.searches[0].winner == "high"
    names = [record.name for record in outcome.steps]
    assert names == ["prepare", "tune@low", "score@low", "tune@high", "score@high", "final"]
    assert [row[0] for row in outcome.searches[0].table.rows] == ["low", "high"]


def test_no_eligible_candidate_stops_the_run(tmp_path: Path) -> None:
    """All candidates stand in the error and in the folder."""
    floor = Gate("enough", "score", "top1", at_least=0.95, advice="loosen the floor")
    with pytest.raises(LimitError, match=r"no candidate(.|\n)*• low: top1 0.6(.|\n)*loosen"):
        go(tmp_path, Toy(search(floor=floor)))
    assert open_run(tmp_path).outcome("search")["winner"] is None


def test_a_candidate_that_breaks_a_limit_is_out_of_the_race(tmp_path: Path) -> None:
    """A closed gate or a hardware limit ends one candidate, not the search."""
    toy = Toy(search())

    def fail(name: str) -> None:
        if name == "tune@high:begin":
            raise LimitError("does not fit the memory")

    toy.moment = fail
    record = go(tmp_path, toy).searches[0]
    assert record.winner == "same"
    assert record.table.rows[1][:3] == ("high", False, "does not fit the memory")


def test_a_metric_that_is_not_a_number_cannot_win(tmp_path: Path) -> None:
    """NaN is never best."""

    class Broken(Toy):
        """Measures nothing for one candidate."""

        @hookimpl
        def evaluate(self, run: Any, subject: Any) -> Report:
            value = float("nan") if run.step == "score@high" else run.options.quality
            return Report("toy", frozen_mapping({"top1": value}))

    assert go(tmp_path, Broken(search())).searches[0].winner == "same"


def test_candidate_settings_are_checked_like_a_recipe(tmp_path: Path) -> None:
    """A plan that sets an unknown key is the plugin's fault."""
    plan = search(settings=frozen_mapping({"one": {"train.epoch": 3}}))
    with pytest.raises(PluginError, match=r"candidate 'one'.*target 'toy'(.|\n)*'epochs'"):
        go(tmp_path, Toy(plan))


def test_repeats_and_searches_nest(tmp_path: Path) -> None:
    """A repeat inside a search keeps its rounds per candidate."""
    body = (Step(Stage.PRUNE, "prune"), Step(Stage.EVALUATE, "look"))
    gate = Gate("sparse", "look", "zeros", at_least=0.15)
    inner = Repeat("loop", body, gate, 3)
    settings = frozen_mapping({"a": {"target.quality": 0.5}, "b": {"target.quality": 0.6}})
    plan = (*START, Candidates("pick", settings, (inner,), "look", "top1"),
            Step(Stage.QUANTIZE, "quantize"))  # fmt: skip
    outcome = go(tmp_path, Toy(plan))
    assert outcome.searches[0].winner == "b"
    assert open_run(tmp_path).manifest("look").step == "look@b@2"
    assert ran(go(tmp_path, Toy(plan))) == []


def test_until_and_force_take_groups(tmp_path: Path) -> None:
    """A group is a unit for ``until``; forcing it forces its steps."""
    outcome = go(tmp_path, Toy(search()), until="score")
    assert outcome.steps[-1].name == "score@same"
    assert ran(go(tmp_path, Toy(search()), force="search", until="search")) == [
        f"{step}@{name}" for name in ("low", "high", "same") for step in ("tune", "score")
    ]


@pytest.mark.parametrize(
    ("gate", "value", "before", "maximize", "holds"),
    [
        (Gate("g", "after", "", at_least=0.9), 0.9, 0.0, True, True),
        (Gate("g", "after", "", at_least=0.9), 0.89, 0.0, True, False),
        (Gate("g", "after", "", at_least=0.9), float("nan"), 0.0, True, False),
        (Gate("g", "after", "", drop_from="before", drop=0.01), 0.96, 0.97, True, True),
        (Gate("g", "after", "", drop_from="before", drop=0.01), 0.959, 0.97, True, False),
        (Gate("g", "after", "", drop_from="before", drop=0.01), 0.9, float("nan"), True, False),
        (Gate("g", "after", "", at_least=0.95, drop_from="before", drop=0.1), 0.9, 0.9, True,
         False),
        (Gate("g", "after", "", at_least=0.1), 0.05, 0.0, False, True),
        (Gate("g", "after", "", at_least=0.1), 0.2, 0.0, False, False),
        (Gate("g", "after", "", drop_from="before", drop=0.1), 0.3, 0.25, False, True),
    ],
)  # fmt: skip
def test_gates_hold_at_their_limit_and_not_beyond(
    gate: Gate, value: float, before: float, maximize: bool, holds: bool
) -> None:
    """Floors, drops, minimised metrics and values that are no numbers."""
    task: Any = ToyTask(metric="m", maximize=maximize)
    reports = {
        "after": Report("after", frozen_mapping({"m": value})),
        "before": Report("before", frozen_mapping({"m": before})),
    }
    assert check_gate(gate, reports, task).holds is holds


def test_a_gate_on_a_missing_metric_names_the_ones_there_are(tmp_path: Path) -> None:
    """A plan that asks for what no report has is the plugin's fault."""
    plan = (*START, Step(Stage.EVALUATE, "look"), Gate("g", "look", "top7", at_least=0.5))
    with pytest.raises(PluginError, match=r"no metric 'top7'\n.*sum, top1, zeros"):
        go(tmp_path, Toy(plan))


def test_an_artifact_can_be_measured(tmp_path: Path) -> None:
    """An evaluate step after compile finds the artifact's files."""
    plan = (*START, Step(Stage.QUANTIZE, "quantize"), Step(Stage.COMPILE, "compile"),
            Step(Stage.EVALUATE, "measure"))  # fmt: skip
    go(tmp_path, Toy(plan))
    assert open_run(tmp_path).report().subject == "Artifact"


STEP = Step(Stage.EVALUATE, "look")
BAD_PLANS: dict[str, tuple[Plan, str]] = {
    "twice": ((*START, Step(Stage.EVALUATE, "prepare")), "'prepare' is used 2 times"),
    "no name": ((*START, Step(Stage.TRAIN, "My step")), "no name"),
    "no prepare": ((Step(Stage.EVALUATE, "look"),), "no step prepares"),
    "too early": ((Step(Stage.TRAIN, "t"), *START), "before any model"),
    "no subject": ((*START, Step(Stage.TRAIN, "t", subject="x")), "not made before"),
    "wrong subject": ((*START, STEP, Step(Stage.TRAIN, "t", subject="look")), "a report"),
    "unknown section": ((*START, Step(Stage.TRAIN, "t", reads=("trian",))), "mean 'train'"),
    "gate on nothing": ((*START, Gate("g", "look", "m", at_least=1.0)), "no evaluate step"),
    "gate without limit": ((*START, STEP, Gate("g", "look", "m")), "neither"),
    "no rounds": ((*START, Repeat("r", (STEP,), Gate("g", "look", "m", 1.0), 0)), "at most 0"),
    "no candidates": (
        (*START, Candidates("c", frozen_mapping(), (STEP,), "look", "m")), "no candidates"),
    "candidate's name": (
        (*START, Candidates("c", frozen_mapping({"../x": {}}), (STEP,), "look", "m")), "folder"),
    "judge elsewhere": (
        (*START, Candidates("c", frozen_mapping({"a": {}}), (STEP,), "prepare", "m")),
        "not in its body"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PLANS)
def test_a_plan_that_cannot_be_walked_is_refused_before_it_starts(
    name: str, tmp_path: Path
) -> None:
    """Faults of a plan name the plugin and the place."""
    plan, message = BAD_PLANS[name]
    with pytest.raises(PluginError, match=message) as caught:
        check_plan(plan, "target 'toy'")
    assert "target 'toy'" in str(caught.value)
    with pytest.raises(PluginError):
        go(tmp_path / "run", Toy(plan))
    assert not (tmp_path / "run").exists()


def test_the_default_plan_has_gates_where_the_recipe_sets_limits() -> None:
    """Harmless limits are no gates; set ones are, on the task's own metric."""
    from nibblefit.defaults.plan import plan

    assert not any(isinstance(item, Gate) for item in plan(toy_recipe()))
    gates = [
        item
        for item in plan(toy_recipe(evaluate__floor=0.9, evaluate__max_drop=0.01))
        if isinstance(item, Gate)
    ]
    assert [(g.name, g.metric, g.at_least, g.drop) for g in gates] == [
        ("floor", "", 0.9, 0.0), ("max_drop", "", None, 0.01)
    ]  # fmt: skip
    check_plan(plan(toy_recipe(evaluate__floor=0.9, evaluate__max_drop=0.01)), "core")


def test_opening_names_what_is_missing(tmp_path: Path) -> None:
    """Wrong folders, steps, types and groups each give one clear line."""
    with pytest.raises(WorkspaceError, match="no run folder"):
        open_run(tmp_path / "nowhere")
    go(tmp_path, Toy(search()), until="prepare")
    opened = open_run(tmp_path)
    for ask, message in (
        (lambda: opened.value("prepair"), "did you mean 'prepare'"),
        (lambda: opened.graph("prepare"), "made a Model, not a quantized"),
        (opened.graph, "no quantized yet"),
        (lambda: opened.outcome("x"), "no group 'x'"),
        (opened.folder, "no artifact yet"),
    ):
        with pytest.raises(WorkspaceError, match=message):
            ask()
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(WorkspaceError, match="missing or damaged"):
        _ = opened.recipe


def test_a_minimised_task_lets_gates_read_the_other_way(tmp_path: Path) -> None:
    """For an error metric the floor is a ceiling."""
    sources = ToySources(toy_task=ToyTask(maximize=False))
    plan = (*START, STEP, Gate("g", "look", "", at_least=0.5))
    with pytest.raises(LimitError):
        go(tmp_path / "a", Toy(plan), sources=sources)
    recipe = toy_recipe(target__quality=0.4)
    assert go(tmp_path / "b", Toy(plan), recipe, sources=sources).gates[0].limit == 0.5
    assert json.loads((tmp_path / "b" / "plan.json").read_text())["order"][-1] == "g"


def test_a_gate_on_a_cost_is_a_ceiling_although_the_task_maximises() -> None:
    """The size of the weights may stay below a limit; `directions` decides for unknown names."""
    report = Report("r", frozen_mapping({"weight_bytes": 100.0, "drift": 2.0}))
    gate = Gate("size", "look", "weight_bytes", at_least=120.0)
    assert check_gate(gate, {"look": report}, ToyTask()).holds
    assert not check_gate(replace(gate, at_least=90.0), {"look": report}, ToyTask()).holds
    drift = Gate("drift", "look", "drift", at_least=1.0)
    assert check_gate(drift, {"look": report}, ToyTask()).holds

    class Drifting(ToyTask):
        directions = {"drift": False}  # noqa: RUF012 - read by the gate only

    assert not check_gate(drift, {"look": report}, Drifting()).holds
