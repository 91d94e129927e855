"""The training part of the sparse stage: thresholds in small steps, zeros frozen ever after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from nibblefit.ir.graph import Graph
from nibblefit.models import Mask
from nibblefit.training.naming import tensor_called
from nibblefit.training.parts import Progress, TrainingPart
from nibblefit_tidl.sparsity.eligibility import Convolution, convolutions
from nibblefit_tidl.sparsity.schedule import Event, Ramp, Schedule
from nibblefit_tidl.sparsity.threshold import Caps, kept_weights


class SparsifyPart(TrainingPart):
    """Thresholds eligible convolutions on schedule and holds every zero from then on.

    Weights that are zero when training starts are frozen too, in all convolutions. Momentum is left
    alone: whatever it does to a removed weight is undone after the step, before anyone reads it.

    Args:
        graph: The network as it is when training starts.
        schedule: When, and how much.
        caps: Limits of each threshold.
        scope: A threshold per output channel, or one per layer.
    """

    name = "sparsify"

    def __init__(
        self, graph: Graph, schedule: Schedule, caps: Caps,
        scope: Literal["channel", "layer"] = "channel",
    ) -> None:  # fmt: skip
        self._layers = convolutions(graph)
        self._caps = caps
        self._scope: Literal["channel", "layer"] = scope
        self._ramp = Ramp(schedule)
        self._removed = {
            layer.weights: torch.from_numpy(graph.constants[layer.weights] == 0)
            for layer in self._layers
        }
        self._sparsity = self._measured()
        self.events: list[Event] = []

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Threshold if it is time, then zero what was ever removed."""
        before = self._sparsity
        fraction = self._ramp.ask(progress.step, before)
        if fraction is not None:
            self._threshold(network, fraction)
            self._sparsity = self._measured()
            iteration = self._ramp.schedule.iteration(progress.step)
            self.events.append(Event(iteration, fraction, before, self._sparsity))
        self._zero(network)

    @property
    def sparsity(self) -> float:
        """Zeros over weights of all convolutions, 0 … 1."""
        return self._sparsity

    def settled(self, progress: Progress) -> bool:  # noqa: ARG002 - the base class fixes it
        """Return whether the ramp has ended, so that an epoch may count as best."""
        return self._ramp.is_finished(self._sparsity)

    def figures(self, network: nn.Module) -> Mapping[str, float]:  # noqa: ARG002 - as above
        """Return the sparsity at the end of the epoch."""
        return {"sparsity": self._sparsity}

    def masks(self) -> Mapping[str, Mask]:
        """Return what is kept, for layers that have a zero."""
        return {
            name: ~removed.cpu().numpy() for name, removed in self._removed.items()
            if bool(removed.any())
        }  # fmt: skip

    def state_dict(self) -> Mapping[str, Any]:
        """Return the ramp's factor, what is removed, and the events so far."""
        return {
            "factor": float(self._ramp.factor),
            "removed": {name: removed.cpu() for name, removed in self._removed.items()},
            "events": [[e.iteration, e.fraction, e.before, e.after] for e in self.events],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore them."""
        self._ramp.factor = np.float32(state["factor"])
        self._removed = dict(state["removed"])
        self._sparsity = self._measured()
        self.events = [Event(int(row[0]), *map(float, row[1:])) for row in state["events"]]

    def _measured(self) -> float:
        total = sum(removed.numel() for removed in self._removed.values())
        zeros = sum(int(removed.sum()) for removed in self._removed.values())
        return zeros / total if total else 0.0

    def _threshold(self, network: nn.Module, fraction: float) -> None:
        for layer in self._layers:
            if not layer.is_eligible:
                continue
            weights = self._tensor(network, layer).detach()
            # float32 as the original: half of a float32 is exact.
            share = float(np.float32(fraction) * np.float32(layer.share))
            kept = kept_weights(weights.cpu().numpy(), share, self._caps, self._scope)
            removed = torch.from_numpy(~kept).to(weights.device)
            self._removed[layer.weights] = self._removed[layer.weights].to(weights.device) | removed

    def _zero(self, network: nn.Module) -> None:
        for layer in self._layers:
            weights = self._tensor(network, layer)
            removed = self._removed[layer.weights]
            if removed.device != weights.device:
                removed = self._removed[layer.weights] = removed.to(weights.device)
            # Not a product: a product keeps NaN and makes negative zeros.
            weights.data.masked_fill_(removed, 0.0)

    @staticmethod
    def _tensor(network: nn.Module, layer: Convolution) -> Tensor:
        return tensor_called(network, layer.weights, f"sparsity of '{layer.name}'")
