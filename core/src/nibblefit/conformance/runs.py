"""Whole runs of a target on a tiny problem, through the runner, with files on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.samples import Noise, Silence
from nibblefit.data.source import Split
from nibblefit.recipe import (
    DataSection,
    EvaluateSection,
    ModelSection,
    Recipe,
    TargetSection,
    TrainSection,
)

if TYPE_CHECKING:
    from nibblefit.runner import RunOutcome


def write_problem(bench: Bench, folder: Path) -> Recipe:
    """Write the first network as ONNX and noise as npz; return a recipe for them."""
    from nibblefit.nn.onnx_export import export_onnx

    case = bench.cases[0]
    folder.mkdir(parents=True, exist_ok=True)
    export_onnx(case.graph, folder / "network.onnx")
    noise: Noise = bench.data(case)
    inputs = np.concatenate([noise.split(split).inputs for split in Split])
    labels = np.concatenate([np.asarray(noise.split(split).targets) for split in Split])
    np.savez(folder / "noise.npz", x=inputs, y=labels)
    low, high = bench.info.input_range or (-1.0, 1.0)
    return Recipe(
        model=ModelSection(source="network.onnx"),
        data=DataSection(
            source="npz",
            path="noise.npz",
            range=(low, high),
            options={"lowest": low, "full_scale": high},
        ),
        target=TargetSection(name=bench.name, part=bench.part),
        train=TrainSection(epochs=0),
        evaluate=EvaluateSection(judge_samples=8),
        folder=str(folder),
    )


def whole_run(bench: Bench, recipe: Recipe, folder: Path) -> RunOutcome:
    """Run every step of the target's plan in `folder`."""
    from nibblefit.runner import run

    return run(recipe, folder, reporter=Silence(), target=bench.plugin)
