"""Small runs on the handwritten digits, up to the quantized graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nibblefit.models import Model
from nibblefit.recipe import (
    DataSection,
    EvaluateSection,
    ModelSection,
    QuantizeSection,
    Recipe,
    RunSection,
    TargetSection,
    TrainSection,
)
from nibblefit.runner.pipeline import run
from nibblefit.workspace.opened import OpenRun, open_run
from nibblefit_maxim.qat.start import Decisions, decisions_of

ROOT = Path(__file__).resolve().parents[3]
NETWORK = str(ROOT / "examples" / "networks" / "digits_cnn.py") + ":build"
PLAIN = str(Path(__file__).with_name("plain_cnn.py")) + ":build"


def recipe(
    options: dict[str, Any] | None = None,
    *,
    epochs: int = 3,
    steps: dict[str, dict[str, Any]] | None = None,
    layers: dict[str, dict[str, Any]] | None = None,
    plain: bool = False,
    **train: Any,
) -> Recipe:
    """Return a recipe for a small network on digits."""
    normed = ModelSection(source=NETWORK, arguments={"width": 8, "dropout": 0.0})
    return Recipe(
        model=ModelSection(source=PLAIN) if plain else normed,
        target=TargetSection(name="maxim", **(options or {})),
        data=DataSection(source="digits"),
        train=TrainSection(epochs=epochs, learning_rate=3e-3, **train),
        train_steps=steps or {},
        quantize=QuantizeSection(layers=layers or {}),
        evaluate=EvaluateSection(judge_samples=8),
        run=RunSection(threads=1, device="cpu"),
    )


def carried_out(made: Recipe, folder: Path, *, until: str = "evaluate") -> OpenRun:
    """Run a recipe up to a step and open the results."""
    run(made, folder, until=until)
    return open_run(folder)


def accuracies(model: Model) -> list[float]:
    """Return the validation accuracy of every epoch."""
    return [record["validation_top1"] for record in model.history]


def decisions(model: Model) -> Decisions:
    """Return what was decided when quantized training started."""
    found = decisions_of(model)
    assert found is not None
    return found
