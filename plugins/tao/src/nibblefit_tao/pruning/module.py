"""Pruning without a recipe: a PyTorch module or a graph in, a smaller one out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.pruning.coupling import couple
from nibblefit.pruning.cutting import cut
from nibblefit_tao.pruning.curve import solve
from nibblefit_tao.pruning.decisions import decide, rank
from nibblefit_tao.pruning.look import check_threshold
from nibblefit_tao.pruning.plan import PruningPlan, plan_of
from nibblefit_tao.pruning.settings import PruneSettings, checked_ratio
from nibblefit_tao.sizes import Size, size_of


@dataclass(frozen=True, slots=True)
class Pruned:
    """A pruned network.

    Attributes:
        graph: The smaller graph.
        plan: Which filters stay; with it and a state dict the network is made again.
        before, after: Sizes.
    """

    graph: Graph
    plan: PruningPlan
    before: Size
    after: Size

    @property
    def ratio(self) -> float:
        """Share of the parameters that remains."""
        return self.after.parameters / self.before.parameters

    def module(self) -> Network:
        """Return the smaller network as a trainable module."""
        return Network(self.graph)


def prune_module(module: nn.Module, input_shape: tuple[int, ...],
                 settings: PruneSettings | None = None, *,
                 ratio: float | None = None) -> Pruned:  # fmt: skip
    """Prune a PyTorch module.

    Args:
        module: Any module that nibblefit captures; it stays as it is.
        input_shape: Of one input, without batch axis.
        settings: TAO's rule, its defaults if None; its threshold holds unless a ratio is asked for.
        ratio: Solve for the threshold that leaves at most this share of the parameters.

    Raises:
        UnsupportedError: The module holds something that cannot be represented.
        RecipeError: A layer that is named does not exist.
        InputError: A filter has no finite norm.
        LimitError: The threshold is above all norms, or the ratio cannot be reached.
    """
    return prune_graph(capture(module, input_shape), settings, ratio=ratio)


def prune_graph(graph: Graph, settings: PruneSettings | None = None, *,
                ratio: float | None = None) -> Pruned:  # fmt: skip
    """Prune a float graph; see `prune_module`."""
    settings = settings or PruneSettings()
    coupling = couple(graph)
    rankings = rank(coupling, settings)
    threshold = settings.threshold
    if ratio is not None:
        threshold = solve(coupling, rankings, ratio=checked_ratio(ratio))
    else:
        check_threshold(rankings, threshold)
    what = decide(coupling, rankings, threshold)
    small = cut(what)
    return Pruned(small, plan_of(what, threshold), size_of(graph), size_of(small))


def reload(module: nn.Module, input_shape: tuple[int, ...], plan: PruningPlan,
           state: Mapping[str, Any]) -> Network:  # fmt: skip
    """Return a pruned network from an unpruned module, a plan and a state dict.

    Args:
        module: A fresh, unpruned module; its weights do not matter.
        input_shape: Of one input.
        plan: From `Pruned.plan` or `nibblefit_tao.pruning.plan.read_plan`.
        state: From ``Pruned.module().state_dict()``, for instance after retraining, or weights by
            the graph's names, as ``nibblefit tao prune`` writes them.

    Raises:
        InputError: Plan or state belong to another network.
    """
    network = Network(plan.apply(capture(module, input_shape)))
    plain = {network.constant_name(key): key for key in network.state_dict()}
    try:
        network.load_state_dict({plain.get(name, name): value for name, value in state.items()})
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise InputError(
            f"the weights do not fit the plan: {first[0].strip()[:200]}",
            hint="give the state dict of the network that the plan made",
        ) from error
    return network
