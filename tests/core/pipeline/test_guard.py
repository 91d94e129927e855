"""What a step may read of the recipe, and that its key follows exactly that."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from tests.core.pipeline.toys import toy_recipe

from nibblefit.errors import PluginError
from nibblefit.plan import Stage, Step
from nibblefit.runner.guard import guarded
from nibblefit.runner.planning import check_plan


@pytest.fixture(params=["same", "copied", "pickled"])
def limited(request: pytest.FixtureRequest) -> Any:
    """Return a recipe with [train] and evaluate.batch_size open, also after it travelled."""
    recipe = guarded(
        toy_recipe(train={"qat": {"epochs": 9}}), "qat", ("train", "evaluate.batch_size")
    )
    if request.param == "copied":
        return copy.deepcopy(recipe)
    return pickle.loads(pickle.dumps(recipe)) if request.param == "pickled" else recipe


def test_declared_sections_and_keys_are_open(limited: Any) -> None:
    """Step settings, single keys, target and run can be read."""
    assert limited.train_for("qat").epochs == 9
    assert limited.evaluate.batch_size == 256
    assert limited.target.name == "toy"
    assert limited.run.seed == 1
    part = limited.evaluate
    assert pickle.loads(pickle.dumps(part)).batch_size == 256


def test_everything_else_is_closed_with_a_remedy(limited: Any) -> None:
    """The message names step and key and says what to add to the plan."""
    with pytest.raises(PluginError, match=r"'qat' reads the recipe's \[quantize\].*\n.*reads="):
        _ = limited.quantize
    with pytest.raises(PluginError, match=r"reads=\('evaluate.samples',\)"):
        _ = limited.evaluate.samples


def test_a_plan_may_open_single_keys_that_exist() -> None:
    """A misspelt key in reads is a fault of the plan."""
    check_plan((Step(Stage.PREPARE, "prepare", reads=("evaluate.samples",)),), "toy")
    with pytest.raises(PluginError, match=r"'quantize.layer'; did you mean 'layers'"):
        check_plan((Step(Stage.PREPARE, "prepare", reads=("quantize.layer",)),), "toy")
