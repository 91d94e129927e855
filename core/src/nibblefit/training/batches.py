"""Which samples form which batch, and reading them as whole tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nibblefit.data.augment import Augmentation
from nibblefit.data.source import DataSource, Split
from nibblefit.errors import InputError
from nibblefit.tasks.protocol import Task

Indices = npt.NDArray[np.int64]


class Batch(NamedTuple):
    """One process's share of one optimizer step.

    Attributes:
        inputs: (count, channels, *spatial).
        target: As the task's `collate` makes it.
        weight: Factor on the loss, so that the mean over processes is the mean over all samples.
        size: Samples in this share.
    """

    inputs: Tensor
    target: Any
    weight: float
    size: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Order of the training samples, the same in every process.

    An epoch visits every sample once, in an order fixed by (seed, epoch). `batch_size` is the
    number of samples per optimizer step over all processes; each step's samples are dealt out in
    shares that differ by at most one. A rest too small to give every process two samples (batch
    norm cannot work on one) joins the step before it.
    """

    count: int
    batch_size: int
    seed: int
    processes: int = 1

    def __post_init__(self) -> None:
        if self.count < self.processes or self.batch_size < self.processes:
            raise InputError(
                f"{self.count} training samples in batches of {self.batch_size} cannot be shared "
                f"by {self.processes} processes",
                hint="lower train.processes or raise train.batch_size",
            )

    def bounds(self) -> list[int]:
        """Return the positions where batches begin, and the end."""
        starts = list(range(0, self.count, self.batch_size))
        if len(starts) > 1 and self.count - starts[-1] < 2 * self.processes:
            starts.pop()
        return [*starts, self.count]

    @property
    def steps(self) -> int:
        """Optimizer steps per epoch."""
        return len(self.bounds()) - 1

    def order(self, epoch: int) -> Indices:
        """Return all sample numbers in the order of an epoch."""
        seeds = np.random.SeedSequence([self.seed & 0xFFFFFFFFFFFFFFFF, epoch])
        return np.random.Generator(np.random.PCG64(seeds)).permutation(self.count)

    def share_of(self, whole: Indices, process: int) -> tuple[Indices, float]:
        """Return one process's samples of one step, and the weight of their mean loss."""
        own = whole[process :: self.processes]
        return own, len(own) * self.processes / len(whole)


class SplitReader:
    """Reads any samples of a split as one batch.

    Sources with ``take(split, indices)`` (all built-in ones) are read without a Python loop over
    samples; others sample by sample through the task's `collate`.
    """

    def __init__(self, data: DataSource, split: Split, task: Task) -> None:
        self._data = data
        self._split = split
        self._task = task
        self._count = len(data.split(split))

    def __len__(self) -> int:
        return self._count

    def read(self, indices: Indices) -> tuple[Tensor, Any]:
        """Return inputs and batch target."""
        take = getattr(self._data, "take", None)
        if take is None:
            samples = self._data.split(self._split)
            return self._task.collate([samples[int(index)] for index in indices])
        inputs, targets = take(self._split, indices)
        if isinstance(targets, np.ndarray):
            return torch.from_numpy(inputs), torch.from_numpy(targets)
        return self._task.collate(list(zip(inputs, targets, strict=True)))


class TrainingBatches(Dataset[Batch]):
    """All batches of one process; iterates over the epoch set by `start`.

    Args:
        reader: The training split.
        plan: Order and sizes.
        augment: Changes inputs; may be inactive.
        process: Number of this process.
        workers: Loader processes; 0 reads in this process. The batches are the same.
    """

    def __init__(self, reader: SplitReader, plan: BatchPlan, augment: Augmentation,
                 process: int = 0, workers: int = 0) -> None:  # fmt: skip
        self._reader = reader
        self._plan = plan
        self._augment = augment
        self._process = process
        self._workers = workers
        self._epoch = 0
        self._planned: tuple[int, list[tuple[Indices, float]]] | None = None

    def start(self, epoch: int) -> None:
        """Choose the epoch that the next iteration goes through."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._plan.steps

    def __iter__(self) -> Iterator[Batch]:
        numbers = [(self._epoch, number) for number in range(len(self))]
        if self._workers == 0:
            yield from (self[number] for number in numbers)
            return
        # A generator of its own keeps the loader from drawing on the training's random numbers.
        yield from DataLoader(self, batch_size=None, sampler=numbers, num_workers=self._workers,
                              generator=torch.Generator().manual_seed(0))  # fmt: skip

    def __getitem__(self, number: tuple[int, int]) -> Batch:
        epoch, position = number
        indices, weight = self._shares(epoch)[position]
        inputs, target = self._reader.read(indices)
        if self._augment.active:
            inputs, target = self._augment.changed(inputs, target, epoch, indices)
        return Batch(inputs, target, weight, len(indices))

    def _shares(self, epoch: int) -> list[tuple[Indices, float]]:
        if self._planned is None or self._planned[0] != epoch:
            bounds, order = self._plan.bounds(), self._plan.order(epoch)
            self._planned = (epoch, [self._plan.share_of(order[a:b], self._process)
                                     for a, b in pairwise(bounds)])  # fmt: skip
        return self._planned[1]
