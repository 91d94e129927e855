"""One training as a value: everything a process needs to carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nibblefit.data.augment import Augmentation
from nibblefit.data.source import DataSource
from nibblefit.recipe import TrainSection
from nibblefit.tasks.protocol import Task
from nibblefit.training.parts import TrainingPart


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, on what, and how; can be sent to another process.

    Attributes:
        network: Trained in place, unless a part replaces it.
        task: Loss and metrics.
        data: The data set.
        settings: The step's training settings.
        parts: Contributions, masks last.
        augment: Changes of the training inputs.
        seed: Seed of everything random.
        device: ``cpu`` or ``cuda``.
        folder: Where the log goes.
        scratch: Where checkpoints go.
        workers: Loader processes per training process.
        judge_batch: Samples per pass over the validation split.
    """

    network: nn.Module
    task: Task
    data: DataSource
    settings: TrainSection
    parts: tuple[TrainingPart, ...]
    augment: Augmentation
    seed: int
    device: str
    folder: Path
    scratch: Path
    workers: int = 0
    judge_batch: int = 256
