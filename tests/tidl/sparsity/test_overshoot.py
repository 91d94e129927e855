"""A whole sparse stage, trained: 0.80 is asked for, and the last step lands on 0.81."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.training.toys import TASK, Recorder, run, source
from torch import nn

from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.training.fit import fit
from nibblefit_tidl.sparsity.part import SparsifyPart
from nibblefit_tidl.sparsity.schedule import Schedule
from nibblefit_tidl.sparsity.threshold import Caps

pytest.importorskip("lightning", reason="extra 'train' is not installed")


def test_a_trained_stage_ends_one_step_above_what_was_asked(tmp_path: Path) -> None:
    """TI's schedule, 0.60 in steps of 0.01, on wide layers without caps.

    Of 288 weights a channel, 0.80 removes 230, which is less than 0.80; so 0.81 is applied too, and
    then the ramp rests for the remaining steps. The first layer is narrow and gets half.
    """
    with torch.random.fork_rng():
        torch.manual_seed(3)
        wide = [nn.Conv2d(32, 32, 3, padding=1) for _ in range(3)]
        head = nn.Linear(32 * 36, 2)
        module = nn.Sequential(nn.Conv2d(1, 32, 3, padding=1), *wide, nn.Flatten(), head)
        graph = capture(module, (1, 6, 6))
    schedule = Schedule(0.8, start_iter=1, start_factor=0.6, step_iter=1, step_factor=0.01)
    part = SparsifyPart(graph, schedule, Caps(value=100.0, ratio=1.0))
    made = run(tmp_path, Recorder(), optimizer="sgd", epochs=8, learning_rate=0.001)
    result = fit(made, Network(graph), TASK, source(), made.recipe.train, (part,))
    fractions = [round(event.fraction, 6) for event in part.events]
    assert fractions == [round(0.60 + 0.01 * step, 6) for step in range(22)]
    steps = result.history[-1]["step"]
    assert part.events[-1].iteration < steps - 2
    zeros = [
        np.count_nonzero(value == 0) / value.size
        for name, value in result.network.to_graph().constants.items()
        if value.shape == (32, 32, 3, 3)
    ]
    assert zeros == [233 / 288] * 3
    assert part.events[-2].after < 0.8 <= part.events[-1].after == part.sparsity
