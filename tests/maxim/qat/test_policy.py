"""The policy of quantized training, in runs on the digits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tests.maxim.qat.runs import accuracies, carried_out, decisions, recipe

from nibblefit.conformance.bench import Bench
from nibblefit.errors import RecipeError
from nibblefit.plan import Stage
from nibblefit.training.parts import Progress
from nibblefit_maxim import TARGET
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.start import Starter
from nibblefit_maxim.qat.switch import QAT_RATE_FACTOR, QatSwitch
from nibblefit_maxim.qat.training import with_small_rate

FAST = {"batch_size": 32}


def test_switching_run_keeps_accuracy_and_chooses_a_quantized_epoch(tmp_path: Path) -> None:
    """The first quantized epoch is within 3 points of the last float one, and integers agree."""
    opened = carried_out(recipe({"start_epoch": 4}, epochs=6, **FAST), tmp_path / "run")
    model = opened.model("qat")
    found = accuracies(model)
    assert model.phase == "qat"
    assert len(found) == 6
    assert found[4] >= found[3] - 0.03
    integers = opened.report("evaluate")
    assert integers.metrics["top1"] >= max(found[4:]) - 0.05
    assert not integers.failed
    assert any(t != 0 for t in decisions(model).thresholds.values())


@pytest.mark.parametrize("generation", ["v1", "v2"])
def test_two_phases_keep_accuracy(tmp_path: Path, generation: str) -> None:
    """In both generations the first quantized epoch is within 3 points of the last float one."""
    steps = {"float": {"epochs": 8}, "qat": {"epochs": 1}}
    made = recipe({"generation": generation}, steps=steps, **FAST)
    opened = carried_out(made, tmp_path / "run")
    model = opened.model("qat")
    found = accuracies(model)
    assert found[7] > 0.9
    assert found[8] >= found[7] - 0.03
    assert not opened.report("evaluate").failed
    if generation == "v1":
        assert set(decisions(model).thresholds.values()) == {0}


def test_zero_epochs_of_quantized_training_calibrate_only(tmp_path: Path) -> None:
    """Post-training quantization: thresholds from samples, the float weights, sane accuracy."""
    made = recipe(steps={"float": {"epochs": 8}, "qat": {"epochs": 0}}, **FAST)
    opened = carried_out(made, tmp_path / "run")
    real, whole = opened.report("evaluate_float"), opened.report("evaluate")
    assert real.metrics["top1"] > 0.9
    assert whole.metrics["top1"] >= real.metrics["top1"] - 0.02
    assert not whole.failed
    assert any(t != 0 for t in decisions(opened.model("qat")).thresholds.values())


def test_two_processes_switch_like_one(tmp_path: Path) -> None:
    """Thresholds are equal, weights equal to rounding, and so is the course of both trainings."""
    made = recipe({"start_epoch": 1}, epochs=3, plain=True, **FAST)
    several = made.model_copy(update={"train": made.train.model_copy(update={"processes": 2})})
    one = carried_out(made, tmp_path / "one", until="qat").model("qat")
    two = carried_out(several, tmp_path / "two", until="qat").model("qat")
    assert decisions(one) == decisions(two)
    # Adam divides tiny gradients by their own size, so single weights may part by a step.
    for name, values in one.graph.constants.items():
        assert np.abs(values - two.graph.constants[name]).mean() < 1e-3, name
    assert np.allclose(accuracies(one), accuracies(two), atol=0.03)


@pytest.mark.slow
def test_batch_norm_in_two_processes_folds_without_a_drop(tmp_path: Path) -> None:
    """With running statistics from two shares the quantized network still follows the float one."""
    made = recipe({"start_epoch": 5}, epochs=6, processes=2, **FAST)
    found = accuracies(carried_out(made, tmp_path / "run", until="qat").model("qat"))
    assert found[5] >= found[4] - 0.03


def test_start_behind_the_last_epoch_is_refused(tmp_path: Path) -> None:
    """The message names both numbers."""
    with pytest.raises(RecipeError, match=r"start_epoch is 3, but train\.epochs is 3"):
        carried_out(recipe({"start_epoch": 3}, epochs=3), tmp_path / "run")


def test_unknown_layer_in_overrides_is_refused_with_the_closest(tmp_path: Path) -> None:
    """Before anything is trained."""
    with pytest.raises(RecipeError) as error:
        carried_out(recipe(layers={"33": {"weight_bits": 4}}), tmp_path / "run")
    assert "did you mean '3'" in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"start_epoch": 2, "qat": False},
        {"start_epoch": 2, "search": {}},
        {"search": {"bits": [8, 8]}},
        {"search": {"bits": [8]}},
        {"start_epoch": 0},
        {"generation": "v3"},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    """Each in the options themselves, so that the recipe's reader can show the line."""
    with pytest.raises(ValidationError):
        MaximOptions(**options)  # type: ignore[arg-type]


def test_plan_follows_the_options() -> None:
    """One phase has no float step; a search stands between the phases."""
    names = [item.name for item in TARGET.plan(recipe({"start_epoch": 1}))]
    assert names == ["prepare", "qat", "evaluate_qat", "quantize", "evaluate", "compile"]
    names = [item.name for item in TARGET.plan(recipe({"search": {}}))]
    assert names[:5] == ["prepare", "float", "evaluate_float", "search", "qat"]
    assert MaximOptions(search={"bits": [2, 8]}).search.bits == (8, 2)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def bench() -> object:
    """A bench for single stages."""
    made = Bench("maxim")
    yield made
    made.close()


def test_rate_of_quantized_training_is_small_unless_the_recipe_says_otherwise(
    bench: Bench,
) -> None:
    """A third of the float rate, or exactly what [train.qat] says."""
    run = bench.run_for(bench.cases[0], Stage.TRAIN)
    run = replace(run, step="qat@2", recipe=recipe())
    assert with_small_rate(run).recipe.train_for("qat").learning_rate == pytest.approx(
        recipe().train.learning_rate * QAT_RATE_FACTOR
    )
    own = replace(run, recipe=recipe(steps={"qat": {"learning_rate": 0.1}}))
    assert with_small_rate(own) is own


def test_switch_is_resumed_with_the_thresholds_of_its_time(bench: Bench) -> None:
    """A replayed rewrite measures anew; the checkpoint's thresholds then replace the result."""
    case = next(case for case in bench.cases if case.name == "chain")
    run = bench.run_for(case, Stage.TRAIN)
    model = bench.model(case)
    switch = QatSwitch(Starter.of(run), 1)
    network = run.hooks.network(run, model)
    assert switch.state_dict() == {}
    assert switch.rewrite(network, Progress(0, 0, 3, 9)) is None
    assert not switch.settled(Progress(0, 0, 3, 9))
    assert switch.learning_rate_factor(Progress(0, 0, 3, 9)) == 1.0
    made = switch.rewrite(network, Progress(1, 3, 3, 9))
    assert isinstance(made, QatNetwork)
    assert switch.settled(Progress(1, 3, 3, 9))
    assert switch.learning_rate_factor(Progress(1, 3, 3, 9)) == QAT_RATE_FACTOR
    kept = {name: value + 1 for name, value in switch.state_dict()["thresholds"].items()}
    switch.load_state_dict({"thresholds": kept})
    assert made.thresholds == kept
    first = made.fused.layers[0]
    assert made._arithmetic[first.name].threshold_out == kept[first.tensor]
