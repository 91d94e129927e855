"""The optimizer of a training: groups of parameters, and its state by parameter name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import torch
from pydantic import Field
from torch import Tensor, nn

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.errors import UnsupportedError
from nibblefit.recipe import TrainSection
from nibblefit.training.naming import parameters_by_name, require_matches, unmatched_group
from nibblefit.training.parts import ParameterGroup, TrainingPart

#: Parameter name → what the optimizer remembers about it (momentum, squares, step count).
OptimizerState: TypeAlias = dict[str, dict[str, Any]]
#: Key of a torch parameter group that holds the factor on the scheduled rate.
FACTOR = "learning_rate_factor"


class GroupOptions(ReaderOptions):
    """One entry of ``train.parameter_groups``."""

    patterns: tuple[str, ...] = Field(min_length=1, description="Globs on parameter names.")
    learning_rate_factor: float = Field(default=1.0, ge=0, description="0 freezes.")
    weight_decay: float | None = Field(default=None, ge=0, description="Replaces the general one.")


def recipe_groups(settings: TrainSection) -> tuple[ParameterGroup, ...]:
    """Return the recipe's parameter groups; raises RecipeError for malformed ones."""
    groups = []
    for number, given in enumerate(settings.parameter_groups):
        where = f"train.parameter_groups[{number}]"
        options = read_options(GroupOptions, given, where, where)
        groups.append(
            ParameterGroup(options.patterns, options.learning_rate_factor, options.weight_decay)
        )
    return tuple(groups)


def build_optimizer(
    network: nn.Module, settings: TrainSection, parts: Sequence[TrainingPart]
) -> torch.optim.Optimizer:
    """Return the optimizer for a network as it is now.

    The first matching group wins: the recipe's ``freeze``, its groups in order, then each part's.
    Parameters with factor 0 are left out: neither gradient, decay nor momentum moves them.

    Raises:
        RecipeError: A group of the recipe matches nothing that is still free.
        PluginError: A group of a part matches nothing at all.
        UnsupportedError: Nothing is left to train.
    """
    free = _free(network, settings)
    groups: list[dict[str, Any]] = []
    for group in _offered(settings, parts, network):
        taken = [n for n in free if _matches(n, group.patterns)]
        parameters = [free.pop(name) for name in taken]
        if parameters and group.learning_rate_factor > 0:
            decay = settings.weight_decay if group.weight_decay is None else group.weight_decay
            groups.append({"params": parameters, "weight_decay": decay,
                           FACTOR: group.learning_rate_factor})  # fmt: skip
    if not groups:
        raise UnsupportedError(
            "every parameter is frozen, there is nothing to train",
            hint="set epochs = 0 for this step, or free some parameters",
        )
    return _make(settings, groups)


def frozen_names(network: nn.Module, settings: TrainSection) -> frozenset[str]:
    """Return the parameters that the recipe's ``freeze`` holds.

    Raises:
        RecipeError: An entry matches nothing.
    """
    names = list(parameters_by_name(network))
    frozen: set[str] = set()
    for entry in settings.freeze:
        pattern = entry.removeprefix("!")
        matching = {name for name in names if fnmatchcase(name, pattern)}
        require_matches([pattern], matching, names, "train.freeze")
        frozen = frozen - matching if entry.startswith("!") else frozen | matching
    return frozenset(frozen)


def hold_frozen(network: nn.Module, settings: TrainSection) -> None:
    """Have no gradients computed for what the recipe freezes: the backward pass ends before it."""
    frozen = frozen_names(network, settings)
    for name, parameter in parameters_by_name(network).items():
        if name in frozen:
            parameter.requires_grad = False


def _free(network: nn.Module, settings: TrainSection) -> dict[str, nn.Parameter]:
    frozen = frozen_names(network, settings)
    return {n: p for n, p in parameters_by_name(network).items()
            if p.requires_grad and n not in frozen}  # fmt: skip


def _offered(
    settings: TrainSection, parts: Sequence[TrainingPart], network: nn.Module
) -> Iterator[ParameterGroup]:
    """Yield the recipe's groups, those of the parts, and the one for the rest."""
    names = list(parameters_by_name(network))
    free = set(_free(network, settings))
    for number, group in enumerate(recipe_groups(settings)):
        taken = {n for n in free if _matches(n, group.patterns)}
        require_matches(group.patterns, taken, names, f"train.parameter_groups[{number}]")
        free -= taken
        yield group
    for part in parts:
        for group in part.parameter_groups(network):
            if not any(_matches(name, group.patterns) for name in names):
                raise unmatched_group(part.name, group.patterns, names)
            yield group
    yield ParameterGroup(("*",))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _make(settings: TrainSection, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    rate = settings.learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    return torch.optim.Adam(groups, lr=rate)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the rate of the coming step; every group keeps its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTOR]


def optimizer_state(optimizer: torch.optim.Optimizer, network: nn.Module) -> OptimizerState:
    """Return copies, on the CPU, of what the optimizer remembers, by parameter name."""
    return {
        name: {key: _copied(value) for key, value in optimizer.state[parameter].items()}
        for name, parameter in parameters_by_name(network).items()
        if parameter in optimizer.state
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, network: nn.Module, state: Mapping[str, Mapping[str, Any]]
) -> None:
    """Give back what `optimizer_state` returned; names or shapes that are gone are passed over."""
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in parameters_by_name(network).items():
        kept = state.get(name)
        if kept is None or id(parameter) not in trained or not _fits(kept, parameter):
            continue
        optimizer.state[parameter] = {
            key: _placed(key, value, parameter) for key, value in kept.items()
        }


def _copied(value: Any) -> Any:
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value


def _fits(kept: Mapping[str, Any], parameter: nn.Parameter) -> bool:
    tensors = [value for value in kept.values() if isinstance(value, Tensor) and value.ndim]
    return all(value.shape == parameter.shape for value in tensors)


def _placed(key: str, value: Any, parameter: nn.Parameter) -> Any:
    if not isinstance(value, Tensor):
        return value
    # torch keeps the step count on the CPU unless the optimizer is fused or capturable.
    return value.clone() if key == "step" else value.to(parameter.device, copy=True)
