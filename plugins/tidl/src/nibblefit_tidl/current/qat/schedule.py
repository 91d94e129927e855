"""When quantized training stops following the data: statistics first, then ranges."""

from __future__ import annotations

from torch import nn

from nibblefit.training.parts import Progress, TrainingPart
from nibblefit_tidl.current.qat.network import QatNetwork


class QatSchedule(TrainingPart):
    """Freezes batch norm statistics one epoch before the middle, ranges one after it.

    Source: edgeai-modeloptimization 11.1, recommended recipe: statistics at total / 2 − 1 epochs,
    observers at total / 2 + 1.
    """

    name = "tidl_qat_schedule"
    keeps_momentum = True

    def rewrite(self, network: nn.Module, progress: Progress) -> None:
        """Set what is frozen in the coming epoch; the network itself stays."""
        if isinstance(network, QatNetwork):
            network.freezes_statistics = progress.epoch >= statistics_epoch(progress.epochs)
            network.freezes_ranges = progress.epoch >= ranges_epoch(progress.epochs)

    def settled(self, progress: Progress) -> bool:
        """Return whether ranges are frozen, or this is the last epoch of a short training."""
        return progress.epoch >= min(ranges_epoch(progress.epochs), progress.epochs - 1)


def statistics_epoch(epochs: int) -> int:
    """Return the first epoch with frozen statistics; never the first of a training."""
    return max(1, epochs // 2 - 1)


def ranges_epoch(epochs: int) -> int:
    """Return the first epoch with frozen ranges."""
    return max(2, epochs // 2 + 1)
