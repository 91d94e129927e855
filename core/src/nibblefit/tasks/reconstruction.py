"""Reconstruction: an output that shall equal a wanted signal (denoising, autoencoders)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Report
from nibblefit.tasks.collating import as_tensor, stack_inputs

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe


class ReconstructionOptions(ReaderOptions):
    """Keys of ``task.options``."""

    peak: float = Field(
        default=0.0, ge=0, description="Peak-to-peak signal of the PSNR; 0: width of data.range."
    )


class Reconstruction:
    """Mean squared error; judged by the peak signal-to-noise ratio in dB.

    Args:
        peak: Peak-to-peak value of the wanted signal.
    """

    name = "reconstruction"
    metric = "psnr"
    maximize = True

    def __init__(self, peak: float = 1.0) -> None:
        self.peak = peak

    def loss(self, outputs: Sequence[Tensor], target: Any) -> Tensor:
        """Return the mean squared error."""
        return functional.mse_loss(*_pair(outputs, target))

    def metrics(self) -> ReconstructionSink:
        """Return an empty accumulator."""
        return ReconstructionSink(self.peak)

    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the reconstructed signals."""
        return outputs[0]

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
        """Return (batch, …) inputs and wanted signals."""
        wanted = np.stack([np.asarray(target, np.float32) for _, target in samples])
        return stack_inputs(samples), torch.from_numpy(wanted)


def _pair(outputs: Sequence[Tensor], target: Any) -> tuple[Tensor, Tensor]:
    found = outputs[0]
    wanted = as_tensor(target, found.device, found.dtype)
    if found.shape != wanted.shape:
        raise InputError(
            f"the network's output is {list(found.shape[1:])}, the wanted signal "
            f"{list(wanted.shape[1:])}",
            hint="give the last layer the shape of the target",
        )
    return found, wanted


class ReconstructionSink:
    """Sum of squared errors over everything added, in float64."""

    def __init__(self, peak: float) -> None:
        self._peak = peak
        self._squares = 0.0
        self._values = 0

    def update(self, outputs: Sequence[Tensor], target: Any) -> None:
        """Add one batch."""
        found, wanted = _pair(outputs, target)
        self._squares += float((found.double() - wanted.double()).square().sum())
        self._values += found.numel()

    def compute(self) -> Mapping[str, float]:
        """Return ``mse`` and ``psnr`` (dB; infinite for an exact copy)."""
        if self._values == 0:
            return {}
        error = self._squares / self._values
        ratio = 10.0 * math.log10(self._peak**2 / error) if error else math.inf
        return {"psnr": ratio, "mse": error}

    def report(self, subject: str) -> Report:
        """Return the metrics."""
        return Report(subject, metrics=frozen_mapping(self.compute()))


def make(recipe: Recipe, data: DataSource) -> Reconstruction:  # noqa: ARG001 - one signature for all
    """Return the recipe's reconstruction task."""
    options = read_options(
        ReconstructionOptions, recipe.task.options, "reconstruction", "task.options"
    )
    low, high = recipe.data.range or (0.0, 1.0)
    return Reconstruction(options.peak or high - low)
