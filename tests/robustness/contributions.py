"""An extension with one training part of every kind, for real runs of the target generic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from nibblefit.hooks import hookimpl
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit.training.parts import ParameterGroup, Progress, TrainingPart

#: Optimizer step at which the first of two trainings is stopped.
STOP = 13


class Penalty(TrainingPart):
    """A penalty that grows with every step, and must remember how far it is."""

    name = "penalty"

    def __init__(self) -> None:
        self.strength = 1e-4

    def penalty(self, network: nn.Module, progress: Progress) -> torch.Tensor:
        return self.strength * sum(p.square().sum() for p in network.parameters())

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        self.strength *= 1.1

    def state_dict(self) -> Mapping[str, Any]:
        return {"strength": self.strength}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.strength = state["strength"]


class Groups(TrainingPart):
    """Freezes the last layer's bias and slows the first convolution."""

    name = "groups"

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:
        # 13.bias in the graph; torch, which the wrapper below asks, has no dots in such names.
        return (ParameterGroup(("*13?bias",), 0.0), ParameterGroup(("*",), 0.5, 0.01))


class Schedule(TrainingPart):
    """A factor on the learning rate for every single step."""

    name = "schedule"

    def learning_rate_factor(self, progress: Progress) -> float:
        return 1.0 - 0.25 * (progress.step % 4)


class Mask(TrainingPart):
    """Zeroes every other weight of the first parameter after each step."""

    name = "mask"

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        next(network.parameters()).data.view(-1)[::2] = 0


class Rewrite(TrainingPart):
    """Fake-quantizes the weights from the second epoch on, in the middle of the training."""

    name = "rewrite"
    keeps_momentum = True

    def rewrite(self, network: nn.Module, progress: Progress) -> nn.Module | None:
        return Rounded(network) if progress.epoch == 1 else None

    def settled(self, progress: Progress) -> bool:
        return progress.epoch >= 1


class Rounded(nn.Module):
    """A network whose output is rounded, straight through, to a grid of 1/16."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self.inner(batch)
        return tuple(y + ((y * 16).round() / 16 - y).detach() for y in outputs)

    def to_graph(self) -> Any:
        return self.inner.to_graph()


class Stop(TrainingPart):
    """Behaves like Ctrl-C at one optimizer step."""

    name = "stop"

    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        if progress.step == self.step:
            raise KeyboardInterrupt


class Contributor:
    """The extension; `stop` is the step at which its training is interrupted, 0 for never."""

    def __init__(self, *parts: type[TrainingPart], stop: int = 0) -> None:
        self.parts = parts
        self.stop = stop

    @hookimpl
    def regularize(self, run: Run, model: Model) -> Sequence[TrainingPart]:
        """Join the training about to start."""
        return [*(part() for part in self.parts), Stop(self.stop or 10**9)]
