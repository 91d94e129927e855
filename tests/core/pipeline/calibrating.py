"""A run that calibrates on a folder of dark pictures: what every target must make of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nibblefit import open_run
from nibblefit.recipe import Recipe
from nibblefit.runner import run

NETWORKS = Path(__file__).resolve().parents[3] / "examples" / "networks"
#: Pixels of the pictures are below it; those of the data set go up to 1.
DARK = 0.25


def write_pictures(folder: Path, count: int, brightest: int) -> None:
    """Write gray pictures of 8 × 8 pixels with values below `brightest`."""
    from PIL import Image

    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = random.integers(0, brightest, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")


def recipe(folder: Path, target: str, calibration: str = "dark", **options: object) -> Recipe:
    """Return a recipe without training, for handwritten digits."""
    return Recipe.model_validate({
        "model": {"source": f"{NETWORKS}/residual.py:build"},
        "target": {"name": target, **options},
        "data": {"range": [0.0, 1.0]},
        "train": {"epochs": 0},
        "quantize": {"calibration_samples": 12},
        "calibration": {"path": calibration},
        "folder": str(folder),
    })  # fmt: skip


def input_reach(folder: Path, asked: Recipe, until: str = "quantize") -> tuple[float, list[str]]:
    """Return the largest real input that the integers of a run have a code for, and what ran."""
    outcome = run(asked, folder, until=until)
    graph = open_run(folder).graph()
    form = graph.tensors[graph.inputs[0]].format
    largest = (1 << (form.bits - form.signed)) - 1
    offset = form.zero_point[0]
    reach = float(np.max(form.scale.values())) * (largest - offset)
    return reach, [record.name for record in outcome.steps if not record.reused]


def check_target(folder: Path, target: str, **options: object) -> None:
    """Prove that a target calibrates on the folder, and again when a picture changes."""
    write_pictures(folder / "dark", 12, int(256 * DARK))
    plain, ran = input_reach(folder / "run", recipe(folder, target, "", **options))
    assert plain > 0.9
    assert ran[-1] == "quantize"
    dark, ran = input_reach(folder / "run", recipe(folder, target, **options))
    assert dark < 2 * DARK
    # Prepare looks at the new pictures; what it finds is the same, so training is not repeated.
    assert ran == ["prepare", "quantize"]
    _, ran = input_reach(folder / "run", recipe(folder, target, **options))
    assert ran == []
    write_pictures(folder / "dark", 12, 256)
    bright, ran = input_reach(folder / "run", recipe(folder, target, **options))
    assert ran == ["prepare", "quantize"]
    assert bright > 0.9
