"""A data set seen as the pixels that it was made of: what a network with its front inside takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.data.scaling import Scaling
from nibblefit.data.source import DataSource, Samples, Split
from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.training.batches import Indices
from nibblefit_tidl.front.preprocessing import Preprocessing

#: Largest pixel, and the range that pixels have codes for whatever calibration saw.
WHITE = 255
PIXELS = (0.0, float(WHITE))
#: How far a sample may be from a whole pixel: what rounding samples to float32 makes of 255, many
#: times over.
TOLERANCE = 0.01

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Part:
    """One split as pixels."""

    samples: Samples
    given: Preprocessing

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Pixels, Any]:
        values, target = self.samples[index]
        return pixels_of(values[None], self.given)[0], target


class PixelSource:
    """A data source whose inputs are pixels of 0 to 255; targets stay as they are.

    Args:
        data: The source, with normalized inputs.
        given: What was done to its pixels.
    """

    def __init__(self, data: DataSource, given: Preprocessing) -> None:
        self._data, self._given = data, given
        self.input_shape = data.input_shape
        self.class_names = data.class_names
        self.scaling = Scaling(0.0, 256.0, 0.0, 256.0)

    def split(self, split: Split) -> _Part:
        """Return one part."""
        return _Part(self._data.split(split), self._given)

    def batch(self, split: Split, start: int, stop: int) -> tuple[Pixels, Any]:
        """Return stacked inputs and the list of targets."""
        values, targets = self._data.batch(split, start, stop)
        return pixels_of(values, self._given), targets

    def take(self, split: Split, indices: Indices) -> tuple[Pixels, Any]:
        """Return stacked inputs and targets of any samples of a split, in the order asked."""
        take = getattr(self._data, "take", None)
        if take is not None:
            values, targets = take(split, indices)
            return pixels_of(values, self._given), targets
        part = self._data.split(split)
        samples = [part[int(index)] for index in indices]
        stacked = np.stack([values for values, _ in samples])
        return pixels_of(stacked, self._given), [target for _, target in samples]


def pixels_of(values: npt.NDArray[np.float32], given: Preprocessing) -> Pixels:
    """Return the pixels behind normalized samples (count, channels, *spatial), whole numbers.

    Raises:
        UnsupportedError: They are none: a sample is no whole number, or outside 0 to 255.
    """
    shape = (1, -1, *(1,) * (values.ndim - 2))
    mean, scale = (np.array(entry).reshape(shape) for entry in (given.mean, given.scale))
    found = values.astype(np.float64) / scale + mean
    whole = np.rint(found)
    far = float(np.abs(found - whole).max(initial=0.0))
    lowest, highest = float(whole.min(initial=0.0)), float(whole.max(initial=0.0))
    if far > TOLERANCE or lowest < 0 or highest > WHITE:
        example = float(found.ravel()[int(np.abs(found - whole).argmax())])
        wrong = (f"one of them is {example:.6g}" if far > TOLERANCE
                 else f"they go from {lowest:g} to {highest:g}")  # fmt: skip
        raise UnsupportedError(
            f"the samples are no pixels of 0 to 255 by mean and scale: {wrong}",
            hint="correct target.front_mean and target.front_scale, store uint8 images, or set "
            'target.front = "none"',
        )
    return np.asarray(whole, np.float32)


def pixel_ranges(data: DataSource, network: Graph) -> dict[str, tuple[float, float]]:
    """Return the range of a network's inputs where its samples are pixels, else nothing."""
    return dict.fromkeys(network.inputs, PIXELS) if isinstance(data, PixelSource) else {}
