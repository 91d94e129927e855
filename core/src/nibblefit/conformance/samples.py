"""What surrounds a target on the bench: seeded samples, a task, and a reporter that is silent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nibblefit.data.source import Split
from nibblefit.results import Report

if TYPE_CHECKING:
    import torch

#: Samples of every split.
COUNT = 48


class _Part:
    """One split: the same array, seen as samples."""

    def __init__(self, inputs: npt.NDArray[np.float32], targets: list[int]) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], int]:
        return self.inputs[index], self.targets[index]


class Noise:
    """Uniform noise with arbitrary labels; every split holds other samples."""

    def __init__(self, shape: tuple[int, ...], bounds: tuple[float, float]) -> None:
        self.input_shape = shape
        self.class_names: Sequence[str] = ("a", "b", "c")
        random = np.random.default_rng(20)
        values = random.uniform(*bounds, (3 * COUNT, *shape)).astype(np.float32)
        labels = random.integers(0, 3, 3 * COUNT).tolist()
        self._parts = {
            split: _Part(values[i * COUNT : (i + 1) * COUNT], labels[i * COUNT : (i + 1) * COUNT])
            for i, split in enumerate(Split)
        }

    @property
    def inputs(self) -> npt.NDArray[np.float32]:
        """All training inputs."""
        return self._parts[Split.TRAIN].inputs

    def split(self, split: Split) -> _Part:
        """Return one part."""
        return self._parts[split]

    def batch(self, split: Split, start: int, stop: int) -> tuple[npt.NDArray[np.float32], Any]:
        """Return a slice of one part."""
        part = self._parts[split]
        return part.inputs[start:stop], part.targets[start:stop]


class StubTask:
    """A task whose loss is the mean square of the outputs; no stage of the kit trains with it."""

    name = "noise"
    metric = "power"
    maximize = False

    def loss(self, outputs: Sequence[torch.Tensor], target: Any) -> torch.Tensor:  # noqa: ARG002
        """Return the mean square of the first output."""
        return outputs[0].square().mean()

    def metrics(self) -> _Power:
        """Return an empty accumulator."""
        return _Power()

    def decode(self, outputs: Sequence[torch.Tensor]) -> Any:
        """Return the outputs unchanged."""
        return outputs

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[torch.Tensor, Any]:
        """Join samples into a batch."""
        import torch

        inputs = np.stack([sample[0] for sample in samples])
        return torch.from_numpy(inputs), [sample[1] for sample in samples]


class _Power:
    """Mean square of everything seen."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def update(self, outputs: Sequence[torch.Tensor], target: Any) -> None:  # noqa: ARG002
        self.total += float(outputs[0].double().square().sum())
        self.count += outputs[0].numel()

    def compute(self) -> Mapping[str, float]:
        return {"power": self.total / max(self.count, 1)}

    def report(self, subject: str) -> Report:
        return Report(subject=subject, metrics=self.compute())


class Silence:
    """A reporter that says nothing."""

    def say(self, message: str) -> None:
        """Drop a line."""

    def warn(self, message: str) -> None:
        """Drop a warning."""

    def progress(self, label: str, total: int | None) -> Silence:  # noqa: ARG002
        """Return a bar that shows nothing."""
        return self

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Drop a movement."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *exc: object) -> None:
        return None
