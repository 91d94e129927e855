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
from torch import Tensor

from nibblefit.data.augment_colors import recolored
from nibblefit.data.augment_moves import Moves
from nibblefit.data.augment_options import AugmentOptions
from nibblefit.data.augment_targets import moved_target
from nibblefit.data.options import read_options
from nibblefit.data.random_bits import Draws
from nibblefit.errors import RecipeError

KEY = "data.augment"
#: Smallest and largest share of the area that `erase` blanks.
ERASED_AREA = (0.02, 0.2)


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
        options = read_options(AugmentOptions, given, "augmentation", KEY)
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
        if (options.saturation or options.hue) and input_shape[0] != 3:
            raise RecipeError(
                f"data.augment changes colours of inputs of {input_shape[0]} channels",
                hint="saturation and hue need three; use brightness and contrast",
            )
        return Augmentation(options, seed)

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return self.options != AugmentOptions()

    def __call__(self, inputs: Tensor, epoch: int, samples: npt.NDArray[np.int64]) -> Tensor:
        """Return changed inputs (count, channels, *spatial); the argument is not changed.

        Content that moves in from outside repeats the border. Order: flip, rotate and scale,
        shift, colours, erase, noise.
        """
        return self.changed(inputs, None, epoch, samples)[0]

    def changed(
        self, inputs: Tensor, target: Any, epoch: int, samples: npt.NDArray[np.int64]
    ) -> tuple[Tensor, Any]:
        """Return changed inputs, and their target moved along (None stays None).

        Raises:
            RecipeError: The inputs move, and nobody knows how such a target does.
        """
        options, draws = self.options, Draws(self.seed, epoch, samples)
        if options.flip or options.rotate or options.scale or options.shift:
            moves = Moves.drawn(options, draws, tuple(inputs.shape[2:]))
            inputs = moves.apply(inputs)
            target = None if target is None else moved_target(target, moves)
        if options.recolors:
            inputs = recolored(inputs, options, draws)
        if options.erase:
            inputs = _erase(inputs, options.erase, draws)
        if options.noise:
            inputs = inputs + options.noise * torch.from_numpy(draws.normal(20, inputs.shape[1:]))
        return inputs, target


def _column(values: npt.NDArray[Any], inputs: Tensor) -> Tensor:
    return torch.from_numpy(values).reshape(-1, *(1,) * (inputs.ndim - 1))


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
