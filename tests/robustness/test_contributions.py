"""Every kind of training contribution, in real runs: it acts, and survives stop and processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.robustness.commands import EXAMPLES
from tests.robustness.contributions import (
    STOP,
    Contributor,
    Groups,
    Mask,
    Penalty,
    Rewrite,
    Schedule,
)
from tests.robustness.runs import digests

from nibblefit.errors import InterruptedRunError
from nibblefit.plugins import plugin_of
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import override_recipe, read_recipe
from nibblefit.runner import run
from nibblefit.training.parts import TrainingPart
from nibblefit.workspace import open_run

KINDS = (Penalty, Groups, Mask, Schedule, Rewrite)


def _recipe(processes: int = 1, **changes: Any) -> Recipe:
    recipe = read_recipe(EXAMPLES / "digits_generic.toml")
    settings = {"model.arguments.width": 4, "model.arguments.dropout": 0.2, "train.epochs": 2,
                "train.batch_size": 128, "train.processes": processes,
                "evaluate.floor": 0.0}  # fmt: skip
    return override_recipe(recipe, {**settings, **changes})


def _trained(folder: Path, *parts: type[TrainingPart], stop: int = 0, processes: int = 1) -> str:
    extension = plugin_of(Contributor(*parts, stop=stop), name="contributor")
    run(_recipe(processes), folder, until="float", extensions=[extension])
    return digests(folder)["float"]


@pytest.mark.slow
@pytest.mark.parametrize("part", KINDS)
def test_a_contribution_acts_and_survives_a_stop(part: type[TrainingPart], tmp_path: Path) -> None:
    """The weights differ from a training without it; stopped and resumed they are the same."""
    whole = _trained(tmp_path / "whole", part)
    assert whole != _trained(tmp_path / "without")
    with pytest.raises(InterruptedRunError, match="kept in"):
        _trained(tmp_path / "cut", part, stop=STOP)
    assert _trained(tmp_path / "cut", part) == whole


def test_masks_and_frozen_parameters_hold(tmp_path: Path) -> None:
    """Masked weights are exactly zero in the model; the frozen bias is the initial one."""
    _trained(tmp_path, *KINDS)
    opened = open_run(tmp_path)
    before, after = opened.model("prepare").graph.constants, opened.model("float").graph.constants
    first = next(name for name in after if after[name].ndim == 4)
    assert not np.any(after[first].reshape(-1)[::2])
    last = [name for name in after if name.endswith("bias")][-1]
    assert np.array_equal(before[last], after[last])
    assert not np.array_equal(before[first], after[first])


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_all_together_survive_a_stop(processes: int, tmp_path: Path) -> None:
    """In one process and in two, stopped in the middle and resumed: the undisturbed digest."""
    whole = _trained(tmp_path / "whole", *KINDS, processes=processes)
    with pytest.raises(InterruptedRunError, match="kept in"):
        _trained(tmp_path / "cut", *KINDS, stop=STOP, processes=processes)
    assert _trained(tmp_path / "cut", *KINDS, processes=processes) == whole
