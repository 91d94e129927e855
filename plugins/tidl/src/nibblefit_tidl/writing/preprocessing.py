"""From pixels to the network's input, as one mean and one scale per channel."""

from __future__ import annotations

import json
from dataclasses import dataclass

from nibblefit.run import Run

#: Full scale of 8-bit pictures in `nibblefit.data.scaling`.
_FULL = 256.0


@dataclass(frozen=True, slots=True)
class PixelScaling:
    """``input = (pixel − mean) · scale`` per channel, pixels 0 … 255, red first.

    Attributes:
        mean: In pixels.
        scale: Per pixel step.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def text(self) -> str:
        """Return it as JSON, for the script in the folder."""
        return json.dumps({"mean": self.mean, "scale": self.scale}, indent=1) + "\n"


def pixel_scaling(run: Run, channels: int) -> PixelScaling:
    """Return the scaling of ``[data]`` for 8-bit pictures: range, then mean and std."""
    data = run.recipe.data
    low, high = data.range or (0.0, 1.0)
    step = (high - low) / _FULL
    means, stds = (_each(values, channels, default)
                   for values, default in ((data.mean, 0.0), (data.std, 1.0)))  # fmt: skip
    return PixelScaling(
        tuple((mean - low) / step for mean in means), tuple(step / std for std in stds)
    )


def _each(values: tuple[float, ...], channels: int, default: float) -> tuple[float, ...]:
    if len(values) == channels:
        return values
    return (values[0] if values else default,) * channels
