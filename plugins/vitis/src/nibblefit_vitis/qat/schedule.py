"""When quantized training stops following the data: statistics first, then thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from nibblefit.training.parts import ParameterGroup, Progress, TrainingPart
from nibblefit_vitis.qat.network import THRESHOLDS, QatNetwork


class QatSchedule(TrainingPart):
    """Freezes batch norm statistics half way, thresholds after three quarters.

    Thresholds are a group of their own: no weight decay, which would pull them to 1, and a rate
    of their own.

    Args:
        rate_factor: Of the thresholds' learning rate. Logarithms move by whole units before a
            position changes, so they need more than weights (TQT uses far more).
    """

    name = "vitis_qat_schedule"
    keeps_momentum = True

    def __init__(self, rate_factor: float = 10.0) -> None:
        self._rate_factor = rate_factor

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:
        """Return the thresholds' group."""
        if not isinstance(network, QatNetwork):
            return ()
        return (ParameterGroup((THRESHOLDS,), self._rate_factor, weight_decay=0.0),)

    def rewrite(self, network: nn.Module, progress: Progress) -> None:
        """Set what is frozen in the coming epoch; the network itself stays."""
        if isinstance(network, QatNetwork):
            network.freezes_statistics = progress.epoch >= statistics_epoch(progress.epochs)
            network.freezes_thresholds = progress.epoch >= thresholds_epoch(progress.epochs)

    def settled(self, progress: Progress) -> bool:
        """Return whether thresholds are frozen, or this is the last epoch of a short training."""
        return progress.epoch >= min(thresholds_epoch(progress.epochs), progress.epochs - 1)

    def figures(self, network: nn.Module) -> Mapping[str, float]:
        """Return the mean log2 threshold, which shows whether training still moves them."""
        if not isinstance(network, QatNetwork):
            return {}
        values = list(network.thresholds().values())
        return {"mean_log2_threshold": sum(values) / max(1, len(values))}


def statistics_epoch(epochs: int) -> int:
    """Return the first epoch with frozen statistics; never the first of a training."""
    return max(1, epochs // 2)


def thresholds_epoch(epochs: int) -> int:
    """Return the first epoch with frozen thresholds."""
    return max(2, 3 * epochs // 4)
