"""Training parts: what a target or an extension may contribute to a training.

A part is asked for once per training through the ``regularize`` hook; after that the loop calls
plain methods, so no plugin machinery sits in the hot loop. Everything a part keeps between steps
goes through `state_dict`, which is how it survives checkpoints, resuming and several processes:
parts act identically in every process, on identical values.
"""

# ruff: noqa: ARG002 - the base class fixes signatures and does nothing with them
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nibblefit.models import Mask


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands when a part is called.

    Attributes:
        epoch: Current epoch, from 0.
        step: Optimizer steps done so far, over all epochs.
        epochs: Planned number of epochs.
        steps: Planned number of optimizer steps.
    """

    epoch: int
    step: int
    epochs: int
    steps: int


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Optimizer settings for some parameters; the first matching group wins.

    Attributes:
        patterns: fnmatch patterns on parameter names: those of the graph's constants
            (``conv1.weight``, also for parameters torch itself would call otherwise), and torch's
            own name for what the graph does not have, such as a threshold of the target's module.
            A group that matches nothing is refused with the closest name.
        learning_rate_factor: Multiplies the recipe's rate; 0 freezes.
        weight_decay: Replaces the recipe's decay; None keeps it.
    """

    patterns: tuple[str, ...]
    learning_rate_factor: float = 1.0
    weight_decay: float | None = None


class TrainingPart:
    """Base of all parts: every method does nothing. Override what is needed."""

    name = "part"
    #: After this part's rewrite, parameters of the same name and shape keep their optimizer state
    #: (momentum); False drops it for all, which is right where a rewrite changes what they mean.
    keeps_momentum = False

    def penalty(self, network: nn.Module, progress: Progress) -> torch.Tensor | None:
        """Return a scalar to add to the loss of this step, or None."""
        return None

    def joined_loss(
        self, loss: torch.Tensor, outputs: Sequence[torch.Tensor], inputs: torch.Tensor,
        progress: Progress,
    ) -> torch.Tensor:  # fmt: skip
        """Return the loss of a batch, from what the task and the parts before made of it.

        Args:
            loss: Scalar mean over this process's share of the batch.
            outputs: What the network returned for it.
            inputs: The share itself.
            progress: Where the training stands.
        """
        return loss

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:
        """Return optimizer groups; asked again after every rewrite."""
        return ()

    def learning_rate_factor(self, progress: Progress) -> float:
        """Return a factor on every learning rate for the coming step."""
        return 1.0

    def rewrite(self, network: nn.Module, progress: Progress) -> nn.Module | None:
        """Called before each epoch; may return another network (folding, fake quantization on).

        When a rewrite happens the optimizer is rebuilt. On resume the recorded rewrites are
        replayed in order on a fresh network, then the weights are loaded; so a rewrite may depend
        on the network and the progress only, and its result's structure must be reproducible.
        """
        return None

    def settled(self, progress: Progress) -> bool:
        """Return whether an epoch may already be chosen as best, or training stop early.

        False while this part still changes what is being trained (a ramp, a rewrite to come).
        """
        return True

    def after_step(self, network: nn.Module, progress: Progress) -> None:
        """Called after each optimizer step, gradients no longer needed: apply masks here."""

    def figures(self, network: nn.Module) -> Mapping[str, float]:
        """Return figures for the record of the epoch that just ended (sparsity, temperature …).

        They stand in ``history.csv``, in the model's history and in the report's plots; names must
        differ from those of the loop (epoch, step, learning_rate, loss) and of the task's metrics.
        """
        return {}

    def masks(self) -> Mapping[str, Mask]:
        """Return masks this part made while training: constant name → True where kept.

        They join the model's when training ends, so that every later stage keeps the zeros. A part
        whose masks still grow is not `settled`, and it zeroes the weights itself in `after_step`.
        """
        return {}

    def state_dict(self) -> Mapping[str, Any]:
        """Return tensors, numbers and strings to be saved in the checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
