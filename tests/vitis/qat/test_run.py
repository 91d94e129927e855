"""Quantized training inside a run: its own simulation is what the integers are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nibblefit.recipe import Recipe
from nibblefit.results import Status
from nibblefit.runner import run
from nibblefit.workspace import open_run
from nibblefit_vitis.qat import simulation
from nibblefit_vitis.qat.keeping import thresholds_of

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.left = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.right = nn.Conv2d(8, 8, 1)
        self.norm = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(self.norm(torch.cat([self.left(x), self.right(x)], 1)))
        return self.fc(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))

def build():
    torch.manual_seed(0)
    return Net()
"""


def _recipe(folder: Path) -> Recipe:
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    return Recipe.model_validate({
        "model": {"source": "net.py:build"},
        "target": {"name": "vitis", "qat": True},
        "train": {"epochs": 1, "learning_rate": 0.02},
        "train_steps": {"qat": {"epochs": 2, "learning_rate": 0.002}},
        "evaluate": {"samples": 60, "judge_samples": 24, "batch_size": 12, "max_drop": 1.0},
        "run": {"threads": 1},
        "folder": str(folder),
    })  # fmt: skip


@pytest.mark.extra("train")
def test_the_integers_of_a_run_are_those_that_training_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thresholds are kept with the model, and the run's proof goes through training's network."""
    seen: list[int] = []
    forward = simulation.QatSimulation.forward

    def watched(self: simulation.QatSimulation, codes: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(len(codes))
        return forward(self, codes)

    monkeypatch.setattr(simulation.QatSimulation, "forward", watched)
    run(_recipe(tmp_path), tmp_path / "run")
    found = open_run(tmp_path / "run")
    (finding,) = [f for f in found.report("evaluate").findings if f.rule == "exact.simulation"]
    assert finding.status is Status.PASSED
    assert finding.value is not None
    assert finding.value > 24 * 16 * 64
    assert sum(seen) == 24
    model = found.model("qat")
    thresholds = thresholds_of(model)
    assert {"fc.weight", "stem.0.bias", "left.weight", "fc"} <= thresholds.keys()
    assert np.isfinite(list(thresholds.values())).all()
    assert any("mean_log2_threshold" in epoch for epoch in model.history)
