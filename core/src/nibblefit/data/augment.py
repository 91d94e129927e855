"""Random changes of training inputs, batch by batch.

What happens to a sample depends on (seed, epoch, sample number) alone: not on the batch it is in,
the order, the number of workers or of training processes. Every random number is a hash of these
and of a counter, so no generator state has to be kept, saved or divided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.data.random_bits import Draws
from nibblefit.errors import RecipeError

#: Smallest and largest share of the area that `erase` blanks.
ERASED_AREA = (0.02, 0.2)


class AugmentOptions(ReaderOptions):
    """Keys of ``data.augment``; zero or false switches a change off."""

    shift: int = Field(
        default=0, ge=0, le=65_535, description="Largest shift along each axis, pixels."
    )
    flip: bool = Field(default=False, description="Mirror the last axis in half of the samples.")
    rotate: float = Field(default=0.0, ge=0, le=180, description="Largest angle, degrees.")
    scale: float = Field(default=0.0, ge=0, lt=1, description="Largest change of size, share.")
    noise: float = Field(default=0.0, ge=0, description="Standard deviation of added noise.")
    erase: float = Field(default=0.0, ge=0, le=1, description="Share of samples with a blank box.")

    @property
    def moves(self) -> bool:
        """Whether any change moves content, so that a target with positions would have to move."""
        return bool(self.shift or self.flip or self.rotate or self.scale or self.erase)


@dataclass(frozen=True, slots=True)
class Augmentation:
    """The recipe's augmentation; call it with inputs and their sample numbers.

    Attributes:
        options: What to do.
        seed: Seed of the run.
    """

    options: AugmentOptions = field(default_factory=AugmentOptions)
    seed: int = 0

    @staticmethod
    def from_recipe(
        given: Mapping[str, Any], seed: int, input_shape: tuple[int, ...]
    ) -> Augmentation:
        """Check the keys against the shape of one input.

        Raises:
            RecipeError: Unknown keys, values out of range, or a turn of something flat.
        """
        options = read_options(AugmentOptions, given, "augmentation", "data.augment")
        spatial = len(input_shape) - 1
        if (options.rotate or options.scale) and spatial != 2:
            raise RecipeError(
                f"data.augment rotates or scales inputs of shape {list(input_shape)}",
                hint="rotate and scale need two spatial axes; use shift or noise",
            )
        if options.moves and spatial < 1:
            raise RecipeError(
                "data.augment moves inputs that have no spatial axes", hint="only noise fits them"
            )
        return Augmentation(options, seed)

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return self.options != AugmentOptions()

    def __call__(self, inputs: Tensor, epoch: int, samples: npt.NDArray[np.int64]) -> Tensor:
        """Return changed inputs (count, channels, *spatial); the argument is not changed.

        Content that moves in from outside repeats the border. Order: flip, rotate and scale,
        shift, erase, noise.
        """
        options, draws = self.options, Draws(self.seed, epoch, samples)
        if options.flip:
            chosen = _column(draws.uniform(0) < 0.5, inputs)
            inputs = torch.where(chosen, inputs.flip(-1), inputs)
        if options.rotate or options.scale:
            inputs = _turn(inputs, options, draws)
        if options.shift:
            inputs = _shift(inputs, options.shift, draws)
        if options.erase:
            inputs = _erase(inputs, options.erase, draws)
        if options.noise:
            inputs = inputs + options.noise * torch.from_numpy(draws.normal(20, inputs.shape[1:]))
        return inputs


def _column(values: npt.NDArray[Any], inputs: Tensor) -> Tensor:
    return torch.from_numpy(values).reshape(-1, *(1,) * (inputs.ndim - 1))


def _turn(inputs: Tensor, options: AugmentOptions, draws: Draws) -> Tensor:
    angle = np.deg2rad(options.rotate) * (2 * draws.uniform(1) - 1)
    # Sampling positions shrink where content grows.
    zoom = 1.0 / (1.0 + options.scale * (2 * draws.uniform(2) - 1))
    height, width = inputs.shape[-2:]
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    zero = np.zeros_like(cosine)
    # affine_grid works in units of half the picture: the ratio keeps angles right angles.
    rows = [[cosine, -sine * (height / width), zero], [sine * (width / height), cosine, zero]]
    matrices = torch.from_numpy(np.asarray(rows).transpose(2, 0, 1).astype(np.float32))
    grid = functional.affine_grid(matrices, list(inputs.shape), align_corners=False)
    return functional.grid_sample(
        inputs, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def _shift(inputs: Tensor, most: int, draws: Draws) -> Tensor:
    for axis in range(2, inputs.ndim):
        size = inputs.shape[axis]
        offset = np.floor(draws.uniform(1 + axis) * (2 * most + 1)).astype(np.int64) - most
        places = np.clip(np.arange(size)[None, :] - offset[:, None], 0, size - 1)
        shape = [1] * inputs.ndim
        shape[0], shape[axis] = inputs.shape[0], size
        index = torch.from_numpy(places).reshape(shape).expand(inputs.shape)
        inputs = inputs.gather(axis, index)
    return inputs


def _erase(inputs: Tensor, share: float, draws: Draws) -> Tensor:
    """Blank one box per chosen sample with the sample's mean per channel."""
    spatial = inputs.shape[2:]
    low, high = ERASED_AREA
    area = low + (high - low) * draws.uniform(10)
    side = area ** (1.0 / len(spatial))
    inside = draws.uniform(11) < share
    mask = _column(inside, inputs)
    for number, size in enumerate(spatial):
        length = np.maximum(1, np.rint(side * size))
        start = np.floor(draws.uniform(12 + number) * (size - length + 1))
        place = np.arange(size)[None, :]
        within = (place >= start[:, None]) & (place < (start + length)[:, None])
        shape = [1] * inputs.ndim
        shape[0], shape[2 + number] = inputs.shape[0], size
        mask = mask & torch.from_numpy(within).reshape(shape)
    mean = inputs.mean(dim=tuple(range(2, inputs.ndim)), keepdim=True)
    return torch.where(mask, mean, inputs)
