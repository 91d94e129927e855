"""What a data set looks like to training, calibration and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Split(StrEnum):
    """The three parts of a data set; disjoint, and fixed by the recipe's seed."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


class Samples(Protocol):
    """Random access to one split. `samples[i]` is (input float32 (channels, *spatial), target).

    Inputs are already scaled to the network's real range; augmentation is not applied.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], Any]: ...


class DataSource(Protocol):
    """A data set.

    Attributes:
        input_shape: Shape of one input, channels first.
        class_names: Names of the classes, empty if the task has none.
    """

    input_shape: tuple[int, ...]
    class_names: Sequence[str]

    def split(self, split: Split) -> Samples:
        """Return one part."""

    def batch(self, split: Split, start: int, stop: int) -> tuple[npt.NDArray[np.float32], Any]:
        """Return stacked inputs (count, channels, *spatial) and the list of targets."""
