"""The switch from float to quantized training in the middle of a training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from nibblefit.errors import PluginError
from nibblefit.models import Model
from nibblefit.nn.network import Network
from nibblefit.training.parts import Progress, TrainingPart
from nibblefit.training.ranks import from_first_rank
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.start import Starter

#: What quantized training multiplies the learning rate by where the recipe leaves it open: near
#: its optimum a network only has to follow rounding, and large steps undo what it has learnt.
QAT_RATE_FACTOR = 0.3


class QatSwitch(TrainingPart):
    """Folds batch norm, measures thresholds and quantizes, before a given epoch.

    Epochs before the switch never count as best. Weights are the same in every process, so folding
    is; thresholds are the first process's in all of them.

    Args:
        starter: How quantized training starts.
        epoch: Epoch, from 0, before which the switch happens.
    """

    name = "qat_switch"

    def __init__(self, starter: Starter, epoch: int) -> None:
        self.starter = starter
        self.epoch = epoch
        self._network: QatNetwork | None = None

    def rewrite(self, network: nn.Module, progress: Progress) -> nn.Module | None:
        """Return the quantizing network, at the chosen epoch."""
        if progress.epoch != self.epoch:
            return None
        if not isinstance(network, Network):
            raise PluginError(
                f"quantized training starts from a Network, found {type(network).__name__}",
                hint="an extension replaced the network; switch the extension off",
            )
        started, decisions = self.starter.start(Model(network.to_graph()))
        thresholds = from_first_rank(dict(decisions.thresholds))
        fused = self.starter.fused(started.graph)
        self._network = QatNetwork(started.graph, fused, decisions.settings, thresholds)
        return self._network

    def learning_rate_factor(self, progress: Progress) -> float:
        """Return a smaller rate behind the switch."""
        return QAT_RATE_FACTOR if progress.epoch >= self.epoch else 1.0

    def settled(self, progress: Progress) -> bool:
        """Return whether the switch has happened."""
        return progress.epoch >= self.epoch

    def state_dict(self) -> Mapping[str, Any]:
        """Return the thresholds; they came from weights that training has moved since."""
        return {} if self._network is None else {"thresholds": self._network.thresholds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the thresholds of the network that the replayed rewrite has made."""
        if self._network is not None and "thresholds" in state:
            self._network.set_thresholds(
                {str(name): int(value) for name, value in state["thresholds"].items()}
            )
