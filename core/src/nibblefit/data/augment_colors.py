"""Random changes of a picture's values: brightness, contrast, saturation and hue."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.data.augment_options import AugmentOptions
from nibblefit.data.random_bits import Draws

#: Streams of random numbers; those of other changes lie below.
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 31, 32, 33, 34
#: What makes gray of three channels, and what turns colours about the gray axis by a right angle.
_GRAY = np.full((3, 3), 1 / 3)
_TURN = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3)


def recolored(inputs: Tensor, options: AugmentOptions, draws: Draws) -> Tensor:
    """Return inputs (count, channels, *spatial) with changed colours.

    Distances to a picture's mean grow or shrink with its contrast, distances to a pixel's gray (the
    mean of its channels) with its saturation; its hue turns them about gray, the same way round in
    RGB and BGR, as both directions are equally likely. Values may leave the range of the originals.
    """
    if options.contrast:
        mean = inputs.mean(dim=tuple(range(1, inputs.ndim)), keepdim=True)
        inputs = mean + (inputs - mean) * _column(
            _factor(options.contrast, draws, _CONTRAST), inputs
        )
    if options.brightness:
        added = options.brightness * (2 * draws.uniform(_BRIGHTNESS) - 1)
        inputs = inputs + _column(added, inputs)
    if options.saturation or options.hue:
        strength = _factor(options.saturation, draws, _SATURATION)
        angle = np.deg2rad(options.hue) * (2 * draws.uniform(_HUE) - 1)
        mixing = torch.from_numpy(_mixing(strength, angle)).to(inputs.dtype)
        # Number by number: a product of matrices may sum in an order that the batch decides.
        mixing = mixing.reshape(*mixing.shape, *(1,) * (inputs.ndim - 2))
        red, green, blue = (mixing[:, :, i] * inputs[:, i : i + 1] for i in range(3))
        inputs = red + green + blue
    return inputs


def _factor(share: float, draws: Draws, stream: int) -> npt.NDArray[np.float64]:
    return 1.0 + share * (2 * draws.uniform(stream) - 1)


def _mixing(
    strength: npt.NDArray[np.float64], angle: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return (samples, 3, 3): gray stays, colours are turned and multiplied."""
    across, along = (strength * part(angle) for part in (np.sin, np.cos))
    mixing: npt.NDArray[np.float64] = (
        _GRAY + along[:, None, None] * (np.eye(3) - _GRAY) + across[:, None, None] * _TURN
    )
    return mixing


def _column(values: npt.NDArray[np.float64], inputs: Tensor) -> Tensor:
    return torch.from_numpy(values).to(inputs.dtype).reshape(-1, *(1,) * (inputs.ndim - 1))
