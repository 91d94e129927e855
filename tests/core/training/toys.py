"""A small network, data set and run, and one toy part for each kind of contribution."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from nibblefit.data.arrays import ArraySource
from nibblefit.data.scaling import Scaling
from nibblefit.data.source import Split
from nibblefit.plan import Stage
from nibblefit.recipe import Recipe
from nibblefit.run import Run
from nibblefit.tasks.classification import Classification
from nibblefit.training.parts import ParameterGroup, TrainingPart
from nibblefit.training.parts_library import FreezePart, L1Penalty

COUNT = 57


class Recorder:
    """A reporter and bar that keep what they are told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.steps = 0
        self.total = None
        self.figures: dict[str, float] = {}

    def say(self, message):
        self.said.append(message)

    def warn(self, message):
        self.warned.append(message)

    def progress(self, label, total):
        self.total = total
        return self

    def advance(self, amount=1, **figures):
        self.steps += amount
        self.figures = figures

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None


class TinyNet(nn.Module):
    """Convolution, batch norm, dropout, linear: all that is random or has statistics."""

    def __init__(self, *, norm: bool = True, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=not norm)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(64, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        return (self.linear(self.dropout(x).flatten(1)),)


def network(seed=0, **options) -> TinyNet:
    """Return a network with weights fixed by seed, without touching the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TinyNet(**options)


def source(validation=20) -> ArraySource:
    """Return 57 + 20 + 20 pictures of bright or dark halves, with noise."""
    generator = np.random.default_rng(0)
    total = COUNT + validation + 20
    labels = np.arange(total) % 2
    stored = generator.integers(0, 160, (total, 1, 6, 6))
    stored[labels == 1, :, :, 3:] += 60
    bounds = np.cumsum([0, COUNT, validation, 20])
    splits = {split: np.arange(a, b) for split, a, b in zip(Split, bounds, bounds[1:])}
    return ArraySource(
        stored.astype(np.uint8), labels, splits, Scaling(0, 256, -1, 1), ("dark", "bright")
    )


TASK = Classification(("dark", "bright"))


def run(folder: Path, recorder: Any = None, **train: Any) -> Run:
    """Return a run whose folders lie in `folder`; keywords are training settings."""
    settings = {
        "epochs": 4,
        "batch_size": 16,
        "learning_rate": 0.01,
        "checkpoint_every": 1,
        **train,
    }
    recipe = Recipe.model_validate(
        {"model": {"source": "none"}, "target": {"name": "generic"}, "train": settings}
    )
    for name in ("files", "scratch"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Run(recipe, Stage.TRAIN, "float", "", None, folder / "files", folder / "scratch", 3,
               "cpu", None, recorder or Recorder(), TASK, source())  # fmt: skip


def digest(module: nn.Module) -> str:
    """Return a hash of all parameters and buffers."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        found.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return found.hexdigest()


class Shrink(TrainingPart):
    """Penalty whose strength it adapts and must remember."""

    name = "shrink"

    def __init__(self) -> None:
        self.strength = 0.001

    def penalty(self, network, progress):
        return self.strength * network.linear.weight.square().sum()

    def after_step(self, network, progress):
        self.strength *= 1.05

    def state_dict(self):
        return {"strength": self.strength}

    def load_state_dict(self, state):
        self.strength = state["strength"]


class Sawtooth(TrainingPart):
    """Schedule per iteration."""

    name = "sawtooth"

    def learning_rate_factor(self, progress):
        return 1.0 - 0.3 * (progress.step % 3)


class Groups(TrainingPart):
    """Slower, decaying convolution."""

    name = "groups"

    def parameter_groups(self, network):
        return (ParameterGroup(("conv.*",), 0.1, 0.01),)


class Average(TrainingPart):
    """Keeps a moving average of a weight, a tensor in its state, and pulls towards it."""

    name = "average"

    def __init__(self) -> None:
        self.mean = torch.zeros(2, 64)

    def after_step(self, network, progress):
        self.mean = 0.9 * self.mean + 0.1 * network.linear.weight
        network.linear.weight.lerp_(self.mean, 0.01)

    def state_dict(self):
        return {"mean": self.mean}

    def load_state_dict(self, state):
        self.mean = state["mean"]


class Widen(TrainingPart):
    """Rewrites the network before an epoch: a random layer more, another structure."""

    name = "widen"

    def __init__(self, epoch=2, *, keeps=False) -> None:
        self.epoch = epoch
        self.keeps_momentum = keeps

    def rewrite(self, network, progress):
        if progress.epoch != self.epoch:
            return None
        network.extra = nn.Linear(64, 64)
        network.dropout = nn.Sequential(nn.Flatten(1), network.extra, nn.Dropout(0.1))
        return network

    def settled(self, progress):
        return progress.epoch >= self.epoch


class CrossCheck(TrainingPart):
    """Fails unless all processes hold the same weights, buffers and part states."""

    name = "cross_check"

    def __init__(self, *others: TrainingPart) -> None:
        self.others = others

    def after_step(self, network, progress):
        if not dist.is_initialized():
            return
        states = [repr(dict(other.state_dict())) for other in self.others]
        every: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(every, (digest(network), states, progress))
        if len({repr(entry) for entry in every}) != 1:
            raise RuntimeError(f"processes differ after step {progress.step}")


class Stop(TrainingPart):
    """Ends the training after a step, as a kill would; in a chosen process."""

    name = "stop"
    active = True

    def __init__(self, step, error=RuntimeError) -> None:
        self.step = step
        self.error = error

    def after_step(self, network, progress):
        if self.active and progress.step == self.step:
            raise self.error("stopped")


CONV_MASK = {"conv.weight": np.arange(36).reshape(4, 1, 3, 3) % 3 != 0}

#: Kind of contribution → its toy parts, made anew.
KINDS = {
    "nothing": list,
    "penalty": lambda: [Shrink(), L1Penalty(0.001, ("linear.weight",))],
    "groups": lambda: [Groups()],
    "schedule": lambda: [Sawtooth()],
    "tensor_state": lambda: [Average()],
    "freezing": lambda: [FreezePart(("conv.*",), until=2)],
    "rewrite": lambda: [Widen()],
    "rewrite_keeping_momentum": lambda: [Widen(keeps=True)],
    "rewrite_at_start": lambda: [Widen(0)],
    "all": lambda: [Shrink(), Groups(), Sawtooth(), Average(), Widen(keeps=True)],
}
