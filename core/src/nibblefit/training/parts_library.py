"""Training parts ready for use: penalty, masks, freezing, folding batch norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn

from nibblefit.errors import InputError, PluginError
from nibblefit.models import Mask
from nibblefit.training.naming import parameters_by_name, tensor_called
from nibblefit.training.parts import ParameterGroup, Progress, TrainingPart


class L1Penalty(TrainingPart):
    """Adds ``strength * sum(|w|)`` over the matching parameters.

    Args:
        strength: Factor on the sum.
        patterns: Globs on parameter names.
    """

    name = "l1"

    def __init__(self, strength: float, patterns: Sequence[str] = ("*.weight",)) -> None:
        self.strength = strength
        self.patterns = tuple(patterns)

    def penalty(self, network: nn.Module, progress: Progress) -> Tensor | None:  # noqa: ARG002
        """Return the weighted sum of magnitudes, None if nothing matches."""
        sums = [
            parameter.abs().sum()
            for name, parameter in parameters_by_name(network).items()
            if any(fnmatchcase(name, pattern) for pattern in self.patterns)
        ]
        return self.strength * torch.stack(sums).sum() if sums else None


class MaskPart(TrainingPart):
    """Keeps pruned weights at exactly zero, after every step and from the start.

    Weight decay, momentum and rewrites cannot revive a weight: whatever they did to it is undone
    before anyone reads it.

    Args:
        masks: Constant name → True where a weight is kept.
    """

    name = "masks"

    def __init__(self, masks: Mapping[str, Mask]) -> None:
        self._kept = {name: torch.from_numpy(np.array(mask, bool)) for name, mask in masks.items()}

    def after_step(self, network: nn.Module, progress: Progress) -> None:  # noqa: ARG002
        """Zero what the masks remove."""
        self.apply(network)

    def apply(self, network: nn.Module) -> None:
        """Zero what the masks remove.

        Raises:
            PluginError: A masked weight is no longer in the network.
            InputError: A mask has another shape than its weight.
        """
        for name, kept in self._kept.items():
            weight = tensor_called(network, name, f"mask of '{name}'")
            if kept.shape != weight.shape:
                raise InputError(
                    f"the mask of '{name}' is {list(kept.shape)}, its weight {list(weight.shape)}",
                    hint="prune again after changing the network",
                )
            if kept.device != weight.device:
                kept = self._kept[name] = kept.to(weight.device)  # noqa: PLW2901 - moved once
            # masked_fill and not a product: a product keeps NaN and makes negative zeros.
            weight.data.masked_fill_(~kept, 0.0)

    def masks(self) -> Mapping[str, Mask]:
        """Return the masks, as they were given."""
        return {name: kept.cpu().numpy() for name, kept in self._kept.items()}

    def state_dict(self) -> Mapping[str, Tensor]:
        """Return the masks."""
        return {name: kept.cpu() for name, kept in self._kept.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore masks."""
        self._kept = dict(state)


class FreezePart(TrainingPart):
    """Keeps matching parameters as they are, until an epoch if one is given.

    Running statistics of batch norm are no parameters: they go on following the data.

    Args:
        patterns: Globs on parameter names.
        until: First epoch that trains them again; None never does.
    """

    name = "freeze"
    keeps_momentum = True

    def __init__(self, patterns: Sequence[str], until: int | None = None) -> None:
        self.patterns = tuple(patterns)
        self.until = until
        self._thawed = until == 0

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:  # noqa: ARG002
        """Return a group that does not learn."""
        return () if self._thawed else (ParameterGroup(self.patterns, 0.0),)

    def rewrite(self, network: nn.Module, progress: Progress) -> nn.Module | None:
        """Have the optimizer rebuilt when the frozen parameters join it."""
        if self.until is None or progress.epoch != self.until or self.until == 0:
            return None
        self._thawed = True
        return network

    def settled(self, progress: Progress) -> bool:
        """Return whether everything trains that ever will."""
        return self.until is None or progress.epoch >= self.until

    def state_dict(self) -> Mapping[str, bool]:
        """Return whether the parameters are free."""
        return {"thawed": self._thawed}

    def load_state_dict(self, state: Mapping[str, bool]) -> None:
        """Restore it."""
        self._thawed = bool(state["thawed"])


class FoldBatchNorm(TrainingPart):
    """Folds batch norm into the layers before it, at the start of an epoch, and trains on.

    Momentum is dropped: folded weights have another scale.

    Args:
        epoch: Epoch, from 0, before which to fold.
    """

    name = "fold_batch_norm"

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def rewrite(self, network: nn.Module, progress: Progress) -> nn.Module | None:
        """Return the network of the folded graph, at the chosen epoch."""
        if progress.epoch != self.epoch:
            return None
        from nibblefit.nn.network import Network
        from nibblefit.nn.rewrite import fold_batch_norm

        if not isinstance(network, Network):
            raise PluginError(
                f"batch norm can be folded in a Network, found {type(network).__name__}",
                hint="a target with its own network brings its own folding",
            )
        return Network(fold_batch_norm(network.to_graph()))

    def settled(self, progress: Progress) -> bool:
        """Return whether the folding is done."""
        return progress.epoch >= self.epoch
