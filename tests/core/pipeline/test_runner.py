"""Walking plans with a toy target: order, reuse, resuming, selection."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.pipeline.toys import (
    DEFAULT_PLAN,
    Recorder,
    Toy,
    ToySources,
    Watcher,
    go,
    ran,
    toy_graph,
    toy_recipe,
)

from nibblefit import open_run, read_recipe
from nibblefit.errors import (
    InputError,
    MismatchError,
    PluginError,
    RecipeError,
    WorkspaceError,
)
from nibblefit.hooks import hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Plan, Stage, Step
from nibblefit.plugins import plugin_of
from nibblefit.results import Report
from nibblefit.run import Run

STEPS = ["prepare", "float", "evaluate_float", "quantize", "compile", "evaluate"]


def test_a_run_walks_the_plan_and_every_result_opens_again(tmp_path: Path) -> None:
    """Each step's value, files and report can be had from Python by its name."""
    outcome = go(tmp_path / "run")
    assert [record.name for record in outcome.steps] == STEPS
    assert outcome.complete
    opened = open_run(tmp_path / "run")
    assert opened.steps == tuple(STEPS)
    assert opened.model("float").phase == "float"
    assert opened.graph().name == opened.graph("quantize").name == "toy"
    assert opened.report("evaluate").metrics["top1"] == 0.9
    assert opened.artifact().files[0].role == "weights"
    assert (opened.folder() / "out" / "weights.json").is_file()
    assert np.array_equal(opened.source().constants["w"], toy_graph().constants["w"])
    assert opened.recipe == toy_recipe()
    assert (opened.folder("float") / "log.csv").is_file()
    assert [e["event"] for e in opened.journal()].count("finished") == len(STEPS)


def test_a_second_run_reuses_everything(tmp_path: Path) -> None:
    """Nothing runs again when nothing has changed, and the digests stay."""
    first = go(tmp_path)
    toy = Toy()
    second = go(tmp_path, toy)
    assert toy.calls == []
    assert second.digests == first.digests
    assert all(record.reused for record in second.steps)


def test_two_folders_give_equal_digests(tmp_path: Path) -> None:
    """Digests depend on content alone."""
    assert go(tmp_path / "a").digests == go(tmp_path / "b").digests


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ({"train__epochs": 4}, STEPS[1:], "train.epochs 3 → 4"),
        ({"train": {"float": {"epochs": 5}}}, STEPS[1:], "train.epochs 3 → 5"),
        ({"quantize__percentile": 99.0}, ["prepare", "quantize", "compile", "evaluate"],
         "quantize.percentile 99.99 → 99.0"),
        ({"evaluate__samples": 5}, ["evaluate_float", "evaluate"], "evaluate.samples 0 → 5"),
        ({"run__seed": 7}, STEPS, "run.seed 1 → 7"),
        ({"target__gain": 1.1}, STEPS, "target.gain 1.0 → 1.1"),
        ({"data__augment": {"shift": 1}}, ["float", *STEPS[2:]], "data.augment.shift (unset) → 1"),
        ({"run__threads": 1, "run__device": "cpu", "data__workers": 2}, [], ""),
        ({"evaluate__floor": 0.1, "evaluate__max_drop": 0.5}, [], ""),
    ],
)  # fmt: skip
def test_a_changed_recipe_reruns_what_it_affects_and_says_why(
    tmp_path: Path, change: dict[str, Any], expected: list[str], reason: str
) -> None:
    """Only steps that read a changed key, or whose input really changed, run again."""
    go(tmp_path)
    recorder = Recorder()
    outcome = go(tmp_path, recipe=toy_recipe(**change), reporter=recorder)
    again = ran(outcome)
    assert set(again) <= set(expected)
    assert again[:1] == expected[:1]
    assert reason in "\n".join(recorder.said)


def test_an_unchanged_result_stops_the_wave(tmp_path: Path) -> None:
    """A step that runs again but ends in the same value leaves the later ones reusable."""
    go(tmp_path)
    outcome = go(tmp_path, force="prepare")
    assert ran(outcome) == ["prepare"]


def test_a_changed_network_file_runs_prepare_again(tmp_path: Path) -> None:
    """The source file's content is part of prepare's key."""
    (tmp_path / "net.py").write_text("import part\n")
    (tmp_path / "part.py").write_text("x = 1\n")
    recipe = toy_recipe().model_copy(update={"folder": str(tmp_path)})
    go(tmp_path / "run", recipe=recipe)
    (tmp_path / "part.py").write_text("x = 2\n")
    recorder = Recorder()
    outcome = go(tmp_path / "run", recipe=recipe, reporter=recorder)
    assert ran(outcome) == ["prepare"]
    assert any("file part.py changed" in line for line in recorder.said)


def test_until_stops_and_the_next_run_goes_on(tmp_path: Path) -> None:
    """``until`` takes a step or a stage name."""
    assert ran(go(tmp_path, until="float")) == STEPS[:2]
    outcome = go(tmp_path, until="quantize")
    assert not outcome.complete
    assert ran(outcome) == ["evaluate_float", "quantize"]
    assert ran(go(tmp_path)) == STEPS[4:]


def test_from_runs_the_rest_again_and_needs_what_is_before(tmp_path: Path) -> None:
    """``from_`` never trusts a step that does not fit, and says which one and why."""
    with pytest.raises(WorkspaceError, match=r"'prepare' has no result to reuse.*not run yet"):
        go(tmp_path, from_="quantize")
    go(tmp_path)
    assert ran(go(tmp_path, from_="quantize")) == STEPS[3:]
    with pytest.raises(WorkspaceError, match=r"'float'.*train.epochs 3 → 9"):
        go(tmp_path, recipe=toy_recipe(train__epochs=9), from_="quantize")


def test_force_runs_the_named_steps_only(tmp_path: Path) -> None:
    """A stage name stands for all of its steps."""
    go(tmp_path)
    assert ran(go(tmp_path, force="evaluate")) == ["evaluate"]
    assert ran(go(tmp_path, force=["train", "compile"])) == ["float", "compile"]


@pytest.mark.parametrize("option", ["from_", "until", "force"])
def test_an_unknown_step_is_refused_with_the_closest(tmp_path: Path, option: str) -> None:
    """A misspelt step name is a usage error."""
    with pytest.raises(InputError, match="did you mean 'quantize'"):
        go(tmp_path, **{option: "quantise"})


def test_until_before_from_is_refused(tmp_path: Path) -> None:
    """An empty selection is a usage error."""
    with pytest.raises(InputError, match="lies before"):
        go(tmp_path, from_="quantize", until="float")


def test_files_that_say_something_else_are_refused(tmp_path: Path) -> None:
    """An artifact that reads back as other integers fails the compile step."""

    class WrongWeight(Toy):
        """Reads back one other weight, as if the writer had changed it."""

        @hookimpl
        def read_back(self, run: Any, artifact: Any) -> QuantizedGraph:
            graph = super().read_back(run, artifact)
            codes = graph.constants["w"].copy()
            codes[1, 2] += 1
            return replace(graph, constants=frozen_mapping({"w": codes}))

    with pytest.raises(MismatchError, match=r"output 'fc'.*codes differ"):
        go(tmp_path, WrongWeight())
    assert "compile" not in open_run(tmp_path).steps


def test_an_artifact_with_a_wrong_digest_is_refused(tmp_path: Path) -> None:
    """The list of files must be what lies on disk."""

    class Forger(Toy):
        """Changes a file after its digest was taken."""

        @hookimpl
        def compile(self, run: Any, graph: Any) -> Any:
            artifact = super().compile(run, graph)
            (run.folder / "out" / "weights.json").write_text("[]")
            return artifact

    with pytest.raises(PluginError, match="wrong SHA-256"):
        go(tmp_path, Forger())


def test_an_extension_wraps_and_watches(tmp_path: Path) -> None:
    """A wrapper changes a report, an observer sees every stage end."""
    watcher = Watcher()
    plugin = plugin_of(watcher, name="watcher")
    go(tmp_path, extensions=[plugin])
    assert [step for step, _ in watcher.seen] == STEPS
    assert open_run(tmp_path).report("evaluate").metrics["watched"] == 1.0
    assert ran(go(tmp_path, extensions=[plugin])) == []
    assert ran(go(tmp_path))[:1] == ["prepare"]  # without the extension results may differ


def test_a_stage_cannot_read_sections_it_does_not_declare(tmp_path: Path) -> None:
    """Otherwise a change there would not run it again."""

    class Curious(Toy):
        """Reads [evaluate] while it quantizes."""

        @hookimpl
        def quantize(self, run: Any, model: Any) -> Any:
            assert run.recipe.evaluate.samples >= 0
            return super().quantize(run, model)

    with pytest.raises(PluginError, match=r"step 'quantize' reads the recipe's \[evaluate\]"):
        go(tmp_path / "a", Curious())
    plan = tuple(
        Step(Stage.QUANTIZE, "quantize", reads=("evaluate",)) if item.name == "quantize" else item
        for item in DEFAULT_PLAN
    )
    go(tmp_path / "b", Curious(plan))
    changed_recipe = toy_recipe(evaluate__samples=3)
    assert "quantize" in ran(go(tmp_path / "b", Curious(plan), recipe=changed_recipe))


def test_a_train_table_for_no_step_is_refused(tmp_path: Path) -> None:
    """[train.NAME] must name a training step of the plan."""
    recipe = toy_recipe(train={"floot": {"epochs": 2}})
    with pytest.raises(RecipeError, match="did you mean 'float'"):
        go(tmp_path, recipe=recipe)


def test_a_step_moved_in_the_plan_keeps_its_result(tmp_path: Path) -> None:
    """The number in a folder's name follows the plan; the content key decides about reuse."""
    go(tmp_path)
    plan = (*DEFAULT_PLAN[:2], Step(Stage.EVALUATE, "extra"), *DEFAULT_PLAN[2:])
    assert ran(go(tmp_path, Toy(plan))) == ["extra"]
    assert (tmp_path / "stages" / "04-evaluate_float" / "manifest.json").is_file()
    assert open_run(tmp_path).steps[2] == "extra"
    assert ran(go(tmp_path)) == []
    assert "extra" not in open_run(tmp_path).steps


def test_warnings_of_a_stage_reach_user_and_journal(tmp_path: Path) -> None:
    """A warning is shown and kept."""

    class Worrier(Toy):
        """Warns while it prepares."""

        @hookimpl
        def prepare(self, run: Any, graph: Any) -> Any:
            run.reporter.warn("careful")
            return super().prepare(run, graph)

    recorder = Recorder()
    go(tmp_path, Worrier(), reporter=recorder)
    assert recorder.warned == ["careful"]
    assert {"event": "warning", "message": "careful"}.items() <= next(
        e for e in open_run(tmp_path).journal() if e["event"] == "warning"
    ).items()


def test_the_recipe_as_run_is_kept(tmp_path: Path) -> None:
    """recipe.toml reads back as the recipe that ran, overrides included."""
    recipe = toy_recipe(train__epochs=2, train={"float": {"epochs": 1}})
    go(tmp_path, recipe=recipe)
    kept = read_recipe(tmp_path / "recipe.toml")
    assert kept.model_copy(update={"folder": recipe.folder, "file": ""}) == recipe
    assert json.loads((tmp_path / "plan.json").read_text())["order"][0] == "prepare"


def test_sources_are_not_asked_when_everything_is_reused(tmp_path: Path) -> None:
    """Opening a finished run again costs no data set and no network."""

    class Unused(ToySources):
        """Fails when asked for anything but the task of a gate."""

        def data(self, recipe: Any, info: Any) -> Any:
            raise AssertionError

        def network(self, recipe: Any, info: Any) -> Any:
            raise AssertionError

    go(tmp_path)
    assert ran(go(tmp_path, sources=Unused())) == []


class Comparing(Toy):
    """Trains weights that round to the same integers, and remembers what integers came from."""

    def __init__(self, plan: Plan = DEFAULT_PLAN, nudge: float = 0.0) -> None:
        super().__init__(plan)
        self.nudge = nudge
        self.references: dict[str, Any] = {}

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        weights = np.full((3, 4), 0.5 + self.nudge, np.float32)
        return model.with_graph(model.graph.with_constants({"w": weights}))

    @hookimpl
    def evaluate(self, run: Run, subject: Any) -> Report:
        self.references[run.step] = run.reference
        return super().evaluate(run, subject)


def test_an_evaluation_of_integers_depends_on_the_model_behind_them(tmp_path: Path) -> None:
    """The same integers of another float model are compared with that model, anew."""
    plan = (*DEFAULT_PLAN, Step(Stage.EVALUATE, "files", subject="compile"))
    first = Comparing(plan)
    go(tmp_path, first)
    assert first.references["evaluate_float"] is None
    for step in ("evaluate", "files"):
        assert float(first.references[step].graph.constants["w"][0, 0]) == 0.5
    second = Comparing(plan, nudge=1e-3)
    again = go(tmp_path, second, force="float")
    assert ran(again) == ["float", "evaluate_float", "quantize", "evaluate", "files"]
    reasons = {record.name: record.reason for record in again.steps}
    assert reasons["evaluate"].startswith("compared with float")
    assert float(second.references["files"].graph.constants["w"][0, 0]) > 0.5
    assert ran(go(tmp_path, Comparing(plan, nudge=1e-3))) == []


class Writing(Comparing):
    """Remembers the model its compile step was handed."""

    @hookimpl
    def compile(self, run: Run, graph: Any) -> Any:
        self.references[run.step] = run.reference
        return super().compile(run, graph)


def test_a_compile_step_gets_the_float_model_if_it_asks(tmp_path: Path) -> None:
    """Only then, and it runs again when that model changes although the integers do not."""
    asking = tuple(
        replace(item, needs_reference=True)
        if isinstance(item, Step) and item.stage is Stage.COMPILE else item
        for item in DEFAULT_PLAN
    )  # fmt: skip
    plain, first = Writing(DEFAULT_PLAN), Writing(asking)
    go(tmp_path / "plain", plain)
    assert plain.references["compile"] is None
    go(tmp_path / "asking", first)
    assert float(first.references["compile"].graph.constants["w"][0, 0]) == 0.5
    again = go(tmp_path / "asking", Writing(asking, nudge=1e-3), force="float")
    assert "compile" in ran(again)


def test_notes_of_the_data_are_shown_once_and_kept(tmp_path: Path) -> None:
    """What a reader left out is a warning of the first step, in the journal too."""

    class Noted(ToySources):
        def data(self, recipe: Any, info: Any) -> Any:
            return type("Data", (), {"notes": ("2 boxes are left out: a.xml",)})()

    seen = Recorder()
    go(tmp_path / "run", sources=Noted(), reporter=seen)
    assert seen.warned == ["2 boxes are left out: a.xml"]
    kept = [entry for entry in open_run(tmp_path / "run").journal() if entry["event"] == "warning"]
    assert [(entry["step"], entry["message"]) for entry in kept] == [("prepare", seen.warned[0])]
