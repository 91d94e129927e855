"""Mean and scale of a network's input, in pixels of 0 to 255."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nibblefit.data.scaling import Scaling
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.fixed.formats import FloatArray

#: TI's configuration files hold up to this many channels in inMean and inScale.
MOST_CHANNELS = 256


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """``y = (x − mean) · scale`` per channel, x a pixel of 0 to 255.

    Attributes:
        mean: One entry per channel, in pixel values.
        scale: One entry per channel, above 0.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.scale) or not self.mean:
            raise RecipeError(
                f"the input has {len(self.mean)} means and {len(self.scale)} scales",
                hint="give both for every channel",
            )
        if not np.all(np.isfinite([*self.mean, *self.scale])) or min(self.scale) <= 0:
            raise RecipeError("a mean or a scale of the input is not finite, or a scale not above "
                              "0", hint="correct data.mean and data.std")  # fmt: skip
        if len(self.mean) > MOST_CHANNELS:
            raise RecipeError(
                f"the input has {len(self.mean)} channels; mean and scale go up to {MOST_CHANNELS}",
                hint="normalize on the host",
            )

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.mean)

    @property
    def is_identity(self) -> bool:
        """Whether the network takes pixels as they are."""
        return not any(self.mean) and all(entry == 1.0 for entry in self.scale)

    def apply(self, pixels: FloatArray) -> FloatArray:
        """Return network inputs for pixels of shape (count, channels, *spatial), in float64."""
        shape = (1, -1, *(1,) * (pixels.ndim - 2))
        mean, scale = (np.array(entry).reshape(shape) for entry in (self.mean, self.scale))
        return np.asarray((pixels - mean) * scale)


def broadcast(mean: Sequence[float], scale: Sequence[float], channels: int) -> Preprocessing:
    """Return mean and scale for a number of channels; one entry stands for all.

    Raises:
        RecipeError: There are entries for another number of channels.
    """
    for name, entries in (("means", mean), ("scales", scale)):
        if len(entries) not in (1, channels):
            raise RecipeError(f"there are {len(entries)} {name} for {channels} channels",
                              hint=f"give one, or {channels}")  # fmt: skip
    return Preprocessing(
        tuple(np.broadcast_to(np.array(mean, np.float64), channels).tolist()),
        tuple(np.broadcast_to(np.array(scale, np.float64), channels).tolist()),
    )


def preprocessing_of(scaling: object, channels: int) -> Preprocessing:
    """Return the mean and scale that a data set's scaling amounts to for uint8 pixels.

    Args:
        scaling: ``scaling`` of the data source (range, mean, std of the recipe), or None.
        channels: Channels of the input.

    Raises:
        UnsupportedError: The source scales its samples itself, or starts from other than pixels.
    """
    if not isinstance(scaling, Scaling):
        raise UnsupportedError(
            "the data source scales its samples itself, so mean and scale are not known",
            hint="use a source of stored images (folder, npz, idx), or give mean and scale",
        )
    if scaling.lowest < 0 or scaling.full > 256.0 or scaling.full < 2.0:
        raise UnsupportedError(
            f"the stored values go from {scaling.lowest:g} to {scaling.full:g}, so they are no "
            "pixels of 0 to 255 and mean and scale cannot be folded",
            hint="store uint8 images, or normalize on the host",
        )
    scaling.check_channels(channels)
    slope = (scaling.high - scaling.low) / (scaling.full - scaling.lowest)
    mean = np.broadcast_to(np.array(scaling.mean or (0.0,)), channels)
    std = np.broadcast_to(np.array(scaling.std or (1.0,)), channels)
    pixels = scaling.lowest + (mean - scaling.low) / slope
    return Preprocessing(tuple(pixels.tolist()), tuple((slope / std).tolist()))
