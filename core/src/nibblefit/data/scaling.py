"""From stored values to the real numbers that the network sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.errors import RecipeError

#: Full scale of 8-bit images. 256 and not 255: u/128 - 1 is then exact for the range [-1, 1], and
#: the integer input u - 128 of a chip stands for exactly that real number.
UINT8_FULL_SCALE = 256.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """Affine map of stored values to network inputs.

    ``real = low + (stored - lowest) / (full - lowest) * (high - low)``, then
    ``(real - mean) / std`` per channel. Computed in float64 and rounded to float32 once.

    Attributes:
        lowest: Stored value that becomes `low`.
        full: Stored value that becomes `high`; may lie one step above the largest stored value.
        low, high: Real range; see `low`, `high` of the recipe's ``data.range``.
        mean, std: Per channel, or empty, or one number for all channels.
    """

    lowest: float
    full: float
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.full > self.lowest or not self.high > self.low:
            raise RecipeError(
                f"data scaling from [{self.lowest:g}, {self.full:g}] to [{self.low:g}, "
                f"{self.high:g}] is empty",
                hint="the second number of a range must be greater than the first",
            )
        if any(not value > 0 for value in self.std):
            raise RecipeError(f"data.std holds {min(self.std):g}", hint="use positive divisors")

    def check_channels(self, channels: int) -> None:
        """Raise RecipeError unless mean and std fit a number of channels."""
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, 1, channels):
                raise RecipeError(
                    f"data.{key} has {len(values)} numbers, the inputs have {channels} channels",
                    hint=f"give one number, or {channels}",
                )

    def apply(self, stored: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Return network inputs for stored values of shape (count, channels, *spatial)."""
        if stored.dtype == np.uint8:
            return self._look_up(stored)
        return self._affine(stored.astype(np.float64), (1, -1, *(1,) * (stored.ndim - 2)))

    def _affine(
        self, values: npt.NDArray[np.float64], channel_shape: tuple[int, ...]
    ) -> npt.NDArray[np.float32]:
        slope = (self.high - self.low) / (self.full - self.lowest)
        real = (values - self.lowest) * slope + self.low
        if self.mean:
            real = real - np.asarray(self.mean).reshape(channel_shape)
        if self.std:
            real = real / np.asarray(self.std).reshape(channel_shape)
        return real.astype(np.float32)

    def _look_up(self, stored: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        # 8-bit values have 256 answers: a table is both exact and several times faster.
        every = np.arange(256, dtype=np.float64)[None, :]
        table = self._affine(every, (-1, 1))
        if table.shape[0] == 1:
            single: npt.NDArray[np.float32] = table[0][stored]
            return single
        offsets = (np.arange(table.shape[0]) * 256).reshape(-1, *(1,) * (stored.ndim - 2))
        looked_up: npt.NDArray[np.float32] = table.reshape(-1)[stored.astype(np.int64) + offsets]
        return looked_up
