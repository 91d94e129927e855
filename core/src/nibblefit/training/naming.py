"""Names of trained tensors: what recipes, masks and checkpoints call them."""

from __future__ import annotations

from torch import Tensor, nn

from nibblefit.errors import PluginError, RecipeError


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


def require_matches(patterns: object, matched: int, where: str) -> None:
    """Raise RecipeError if patterns of the recipe matched nothing."""
    if matched == 0:
        raise RecipeError(
            f"{where}: {patterns} matches no parameter that is still free",
            hint="an earlier group may have taken them; compare with the layer names of `inspect`",
        )
