"""A data set held in arrays: what every built-in reader ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nibblefit.data.scaling import Scaling
from nibblefit.data.source import Split
from nibblefit.errors import InputError

Inputs = npt.NDArray[np.float32]


class Stored(Protocol):
    """Stored inputs, indexed by an array of sample numbers; a numpy array, or files read late."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, indices: Any) -> npt.NDArray[np.generic]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """One split: positions in the stored arrays."""

    source: ArraySource
    indices: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Inputs, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        inputs, targets = self.source.read(self.indices[[index]])
        return inputs[0], targets[0]


class ArraySource:
    """Data in arrays, scaled batch by batch, so that 8-bit data stay 8-bit in memory.

    Args:
        stored: Inputs of all splits, (count, channels, *spatial), any numeric type.
        targets: One per sample: an array (class numbers, label maps, wanted outputs), a list
            (boxes), or None where the wanted output is the input itself.
        splits: Sample numbers of each split; disjoint.
        scaling: How stored values become real ones.
        class_names: Empty if the task has none.
        notes: What the user should know about the data.
    """

    def __init__(
        self,
        stored: Stored,
        targets: npt.NDArray[Any] | Sequence[Any] | None,
        splits: Mapping[Split, npt.NDArray[np.int64]],
        scaling: Scaling,
        class_names: Sequence[str] = (),
        *,
        notes: Sequence[str] = (),
    ) -> None:
        if targets is not None and len(targets) != stored.shape[0]:
            raise InputError(
                f"the data set has {stored.shape[0]} inputs and {len(targets)} targets",
                hint="give one target per input",
            )
        scaling.check_channels(stored.shape[1])
        self.input_shape: tuple[int, ...] = tuple(stored.shape[1:])
        self.class_names: Sequence[str] = tuple(class_names)
        self.notes = tuple(notes)
        self.scaling = scaling
        self._stored = stored
        self._targets = targets
        self._splits = {split: np.asarray(splits[split], np.int64) for split in Split}

    def split(self, split: Split) -> Part:
        """Return one part."""
        return Part(self, self._splits[split])

    def batch(self, split: Split, start: int, stop: int) -> tuple[Inputs, list[Any]]:
        """Return stacked inputs and the list of targets."""
        inputs, targets = self.read(self._splits[split][start:stop])
        if isinstance(targets, np.ndarray) and targets.ndim == 1:
            return inputs, targets.tolist()
        return inputs, list(targets)

    def take(
        self, split: Split, indices: npt.NDArray[np.int64]
    ) -> tuple[Inputs, npt.NDArray[Any] | list[Any]]:
        """Return stacked inputs and targets of any samples of a split, in the order asked."""
        return self.read(self._splits[split][indices])

    def read(self, positions: npt.NDArray[np.int64]) -> tuple[Inputs, npt.NDArray[Any] | list[Any]]:
        """Return scaled inputs and targets at positions of the stored arrays."""
        inputs = self.scaling.apply(self._stored[positions])
        if self._targets is None:
            return inputs, inputs
        if isinstance(self._targets, np.ndarray):
            return inputs, self._targets[positions]
        return inputs, [self._targets[position] for position in positions]
