"""Calibration samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nibblefit.data.source import Split
from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit.training.batches import SplitReader
from nibblefit_vitis.calibration.calibrate import is_pooled
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.settings import NetworkSetting

Batches = Iterator[npt.NDArray[np.float32]]


def sample_count(run: Run) -> int:
    """Return how many samples calibrate."""
    return calibration_count(run)


def batches_of(run: Run, model: Model, setting: NetworkSetting) -> Batches:
    """Yield the calibration samples, the same ones every time.

    Where every batch has a vote they have the size that was asked for; otherwise memory decides.
    """
    options: VitisOptions = run.options
    if is_pooled(setting):
        yield from calibration_batches(run, model, sample_count(run))
        return
    reader = SplitReader(run.calibration_data, Split.TRAIN, run.task)
    chosen = np.random.default_rng(run.seed).permutation(len(reader))[: sample_count(run)]
    for start in range(0, len(chosen), options.batch_size):
        inputs, _ = reader.read(np.sort(chosen)[start : start + options.batch_size])
        yield inputs.numpy()
