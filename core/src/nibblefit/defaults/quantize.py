"""Core's quantization: post-training, from declared numerics and calibration data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nibblefit.data.source import Split
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.settings import settings
from nibblefit.run import Run
from nibblefit.training.batches import SplitReader

#: Values of the largest tensor per calibration batch; bounds memory for large inputs.
_BATCH_VALUES = 1 << 21


def quantize(run: Run, model: Model, numerics: Numerics) -> QuantizedGraph:
    """Calibrate on real samples and return the integer graph.

    Raises:
        RecipeError: A per-layer setting names no layer, or has an unknown key.
        UnsupportedError: A width, an operator or a shift is beyond the target.
    """
    recipe = run.recipe.quantize
    chosen = settings(recipe.method, recipe.percentile, recipe.layers)
    count = calibration_count(run)
    metadata = {"class_names": list(run.data.class_names), "method": recipe.method}
    with run.reporter.progress("calibrating", count) as bar:
        return quantize_network(
            model.graph,
            numerics,
            calibration_batches(run, model, count),
            chosen,
            target=run.recipe.target.name,
            metadata=metadata,
            on_batch=bar.advance,
        )


def calibration_count(run: Run) -> int:
    """Return how many samples calibrate: as many as asked for, or all there are."""
    available = len(run.calibration_data.split(Split.TRAIN))
    return min(run.recipe.quantize.calibration_samples, available)


def calibration_batches(run: Run, model: Model, count: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield `count` calibration samples, chosen by the step's seed, in batches of bounded memory.

    They are training samples, or those of the recipe's ``[calibration]``.
    """
    reader = SplitReader(run.calibration_data, Split.TRAIN, run.task)
    chosen = np.random.default_rng(run.seed).permutation(len(reader))[:count]
    sizes = (int(np.prod(shape)) for shape in model.graph.shapes.values())
    size = max(1, min(64, _BATCH_VALUES // max(sizes)))
    for start in range(0, count, size):
        inputs, _ = reader.read(np.sort(chosen)[start : start + size])
        yield inputs.numpy()
