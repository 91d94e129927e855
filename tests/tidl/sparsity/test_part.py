"""The sparse stage in real trainings: zeros come on schedule, and nothing brings them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.core.training.toys import TASK, Recorder, digest, run, source
from torch import nn

from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.rewrite import fold_batch_norm
from nibblefit.training.fit import FitResult, fit
from nibblefit.training.parts import Progress, TrainingPart
from nibblefit.training.parts_library import L1Penalty
from nibblefit_tidl.sparsity.part import SparsifyPart
from nibblefit_tidl.sparsity.schedule import Edition, Ramp, Schedule
from nibblefit_tidl.sparsity.settings import SparsityOptions
from nibblefit_tidl.sparsity.threshold import Caps

pytest.importorskip("lightning", reason="extra 'train' is not installed")

#: Nothing holds zeros back, so that counts are exact.
LOOSE = Caps(value=100.0, ratio=1.0)


def _graph() -> Graph:
    """Return wide, narrow, depthwise and pointwise convolutions, and a linear layer."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(
            nn.Conv2d(1, 32, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3), nn.ReLU(),
            nn.Conv2d(32, 32, 1, groups=32), nn.Conv2d(32, 4, 1), nn.Flatten(),
            nn.Linear(16, 2),
        )  # fmt: skip
        return capture(module, (1, 6, 6))


class Stop(TrainingPart):
    """Interrupts a training after a step."""

    name = "stop"

    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        if progress.step == self.step:
            raise KeyboardInterrupt


def _train(folder: Path, part: TrainingPart, *more: TrainingPart, **settings: Any) -> FitResult:
    made = run(folder, Recorder(), **{"optimizer": "sgd", "weight_decay": 0.01, **settings})
    parts = (L1Penalty(1e-4), part, *more)
    return fit(made, Network(_graph()), TASK, source(), made.recipe.train, parts)


def _part(target: float = 0.5, **options: Any) -> SparsifyPart:
    settings = {"start_iter": 2, "start_factor": 0.2, "step_iter": 2, "step_factor": 0.1}
    schedule = Schedule(target, **{**settings, **options})
    return SparsifyPart(_graph(), schedule, LOOSE)


def test_zeros_come_on_schedule_and_only_where_they_may(tmp_path: Path) -> None:
    """Wide layers reach the fraction, narrow ones half of it, 1x1 and depthwise ones nothing."""
    part = _part(target=0.45)
    result = _train(tmp_path, part)
    fractions = [round(event.fraction, 6) for event in part.events]
    assert [event.iteration for event in part.events] == [2, 4, 6, 8]
    assert fractions == [0.2, 0.3, 0.4, 0.5]
    graph = result.network.to_graph()
    zeros = {name: int((value == 0).sum()) for name, value in graph.constants.items()}
    convs = [name for name, value in graph.constants.items() if value.ndim == 4]
    first, wide, depthwise, pointwise = convs
    assert zeros[first] == 32 * (9 // 4)
    assert zeros[wide] == 32 * (288 // 2)
    assert zeros[depthwise] == zeros[pointwise] == 0
    assert set(result.masks) == {first, wide}
    assert all(np.array_equal(mask, graph.constants[n] != 0) for n, mask in result.masks.items())


def test_zeros_survive_momentum_decay_and_folding(tmp_path: Path) -> None:
    """After 100 more steps with momentum, decay and L1 the same weights are zero, folded too."""
    part = _part(target=0.3)
    result = _train(tmp_path, part, epochs=25, batch_size=16)
    last = part.events[-1].iteration
    assert last < 10
    assert result.history[-1]["step"] == 100
    assert result.history[-1]["sparsity"] == part.sparsity == part.events[-1].after
    folded = fold_batch_norm(result.network.to_graph())
    zeros = sum(int((folded.constants[name] == 0).sum()) for name in result.masks)
    total = sum(layer.size for name, layer in folded.constants.items() if layer.ndim == 4)
    assert zeros / total == part.sparsity


def test_stopped_and_resumed_it_ends_the_same(tmp_path: Path) -> None:
    """A stop between two thresholdings changes neither weights nor masks nor events."""
    whole_part, resumed_part = _part(), _part()
    whole = _train(tmp_path / "whole", whole_part)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "cut", _part(), Stop(7))
    resumed = _train(tmp_path / "cut", resumed_part)
    assert digest(resumed.network) == digest(whole.network)
    assert resumed_part.events == whole_part.events
    assert {n: m.tobytes() for n, m in resumed.masks.items()} == {
        n: m.tobytes() for n, m in whole.masks.items()
    }


def test_two_processes_keep_the_same_zeros(tmp_path: Path) -> None:
    """Data-parallel training thresholds identically everywhere, and its masks come back."""
    part = _part(target=0.3)
    result = _train(tmp_path, part, epochs=2, processes=2)
    graph = result.network.to_graph()
    assert result.masks
    assert all(not graph.constants[n][~mask].any() for n, mask in result.masks.items())
    assert [round(event.fraction, 6) for event in part.events] == [0.2, 0.3, 0.4]


def test_an_epoch_counts_as_best_only_after_the_ramp(tmp_path: Path) -> None:
    """The kept epoch is a sparse one although dense ones came before."""
    part = _part(target=0.45)
    result = _train(tmp_path, part, choose="best", epochs=6)
    assert result.chosen_epoch >= 3
    graph = result.network.to_graph()
    assert all(not graph.constants[n][~mask].any() for n, mask in result.masks.items())


def test_zeros_a_model_brings_are_frozen(tmp_path: Path) -> None:
    """Weights that are zero at the start stay zero, in layers that are never thresholded too."""
    graph = _graph()
    name = [n for n, value in graph.constants.items() if value.ndim == 4][3]
    holes = graph.constants[name].copy()
    holes[:, ::2] = 0
    graph = graph.with_constants({name: holes})
    part = SparsifyPart(graph, Schedule(0.0), LOOSE)
    made = run(tmp_path, Recorder(), optimizer="sgd", epochs=2)
    result = fit(made, Network(graph), TASK, source(), made.recipe.train, (part,))
    kept = result.network.to_graph().constants[name]
    assert not kept[:, ::2].any()
    assert kept[:, 1::2].all()


@pytest.mark.parametrize("steps", [3, 40, 400, 100_000])
def test_an_unset_ramp_fits_its_stage(steps: int) -> None:
    """Derived schedules reach a fraction above the target before the stage is over."""
    ramp = Ramp(SparsityOptions().schedule(steps))
    asked = [(done, ramp.ask(done, 0.0)) for done in range(1, steps + 1)]
    reached = next(done for done, fraction in asked if fraction and fraction >= 0.8 - 1e-6)
    assert reached <= max(0.75 * steps, 3)


def test_the_schedule_of_the_recipe_is_kept() -> None:
    """What is set is taken as it is."""
    options = SparsityOptions(target=0.7, start_iter=0, start_factor=0.25, step_iter=2000,
                              step_factor=0.05, edition="0.16")  # fmt: skip
    assert options.schedule(120_000) == Schedule(0.7, 0, 0.25, 2000, 0.05, Edition.V0_16)
