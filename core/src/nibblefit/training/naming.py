"""Names of trained tensors: what recipes, masks and checkpoints call them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from torch import Tensor, nn

from nibblefit.errors import PluginError, RecipeError, listed


def parameters_by_name(network: nn.Module) -> dict[str, nn.Parameter]:
    """Map public name to parameter, in the module's order.

    The public name is the constant's name in the graph where the network knows it (torch forbids
    dots in parameter names, graphs use them), else torch's own.
    """
    public = getattr(network, "constant_name", None)
    names: dict[str, nn.Parameter] = {}
    for name, parameter in network.named_parameters():
        names[_public(public, name)] = parameter
    return names


def _public(constant_name: object, name: str) -> str:
    if not callable(constant_name):
        return name
    try:
        return str(constant_name(name))
    except KeyError:
        # A target's own extra parameter (a threshold) stands for no constant of the graph.
        return name


def tensor_called(network: nn.Module, name: str, why: str) -> Tensor:
    """Return a parameter by its public or torch name.

    Raises:
        PluginError: The network has none of that name.
    """
    found = parameters_by_name(network).get(name)
    if found is None:
        found = dict(network.named_parameters()).get(name)
    if found is None:
        raise PluginError(
            f"{why}: the network has no parameter '{name}'",
            hint="a rewrite must keep the names of masked weights, or drop their mask",
        )
    return found


def require_matches(
    patterns: Sequence[str], taken: Collection[str], names: Sequence[str], where: str
) -> None:
    """Raise RecipeError if patterns of the recipe took no parameter.

    Args:
        patterns: Globs of one group.
        taken: What they took.
        names: All parameters.
        where: The group.
    """
    if taken:
        return
    if any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
        raise RecipeError(
            f"{where}: {list(patterns)} matches no parameter that is still free",
            hint="an earlier group has taken them: put the narrower group first",
        )
    raise RecipeError(
        f"{where}: {list(patterns)} matches no parameter; {_closest(patterns, names)}",
        hint="parameters are called like the network's weights, such as 'conv1.weight'",
    )


def unmatched_group(part: str, patterns: Sequence[str], names: Sequence[str]) -> PluginError:
    """Return the error of a training part whose group matches no parameter of the network."""
    return PluginError(
        f"training part '{part}': its parameter group {list(patterns)} matches no parameter; "
        f"{_closest(patterns, names)}",
        hint="patterns are matched with the names of the graph's constants ('conv1.weight'); "
        "offer no group where there is nothing to match",
    )


def _closest(patterns: Sequence[str], names: Sequence[str]) -> str:
    """Return the parameter most like a pattern without its wildcards, or what there is."""
    for pattern in patterns:
        # A glob says less than a name: it may resemble one only faintly.
        close = get_close_matches(pattern.strip("*?.")[:100], names, n=1, cutoff=0.4)
        if close:
            return f"did you mean '{close[0]}'?"
    return f"known: {listed(sorted(names))}"
