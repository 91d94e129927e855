"""Core's pruning: weights of small magnitude become zero and stay so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nibblefit.errors import RecipeError, did_you_mean, listed
from nibblefit.ir.graph import FloatConstant, Graph, frozen_mapping
from nibblefit.ir.ops import WEIGHTED
from nibblefit.models import Mask, Model
from nibblefit.recipe_file.explain import shortened
from nibblefit.run import Run


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """How much to prune, and where.

    Attributes:
        sparsity: Share of weights that are zero afterwards, 0 … below 1.
        scope: ``global`` ranks all weights of all layers together, ``layer`` each layer's own.
        layers: Globs on weight or layer names that are pruned; empty prunes all.
        keep: Globs that are never pruned.
        shares: Glob → share of its own, in place of `sparsity`; later entries win. Layers with a
            share are ranked by themselves in either scope.
    """

    sparsity: float = 0.5
    scope: Literal["global", "layer"] = "layer"
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    shares: Mapping[str, float] = field(default_factory=frozen_mapping)


def prune(run: Run, model: Model) -> Model:
    """Mask the smallest weights of convolutions and linear layers.

    Settings come from the plan's step options, then from the target's options of the same name
    (``sparsity``, ``scope``, ``layers``, ``keep``), then from the recipe's ``[prune]`` if it asks
    for any sparsity, then from `PruneSettings`. Weights that a mask already removed stay removed
    and count towards the sparsity.
    """
    settings = _settings(run)
    masks = magnitude_masks(model.graph, settings, model.masks)
    changed = {name: _masked(model.graph.constants[name], mask) for name, mask in masks.items()}
    total = sum(mask.size for mask in masks.values())
    zeros = total - sum(int(mask.sum()) for mask in masks.values())
    run.reporter.say(
        f"{run.step}: {zeros:,} of {total:,} weights in {len(masks)} layers are pruned "
        f"({zeros / max(1, total):.1%})"
    )
    return replace(
        model,
        graph=model.graph.with_constants(changed),
        masks=frozen_mapping({**model.masks, **masks}),
    )


def magnitude_masks(
    graph: Graph, settings: PruneSettings, before: Mapping[str, Mask] | None = None
) -> dict[str, Mask]:
    """Return masks that keep the largest magnitudes.

    Exactly ``round(sparsity * size)`` weights are removed, of the whole network or of each layer;
    of equal magnitudes the earlier ones go first. A layer whose share is 0 gets no mask.

    Raises:
        RecipeError: A glob matches no layer.
    """
    before = before or {}
    users, names = weight_users(graph), _prunable(graph, settings)
    weights = {name: _magnitudes(graph.constants[name], before.get(name)) for name in names}
    own = {name: _own_share(name, users[name], settings.shares) for name in names}
    masks = {
        name: _keep_largest(weights[name], share)
        for name, share in own.items()
        if share is not None
    }
    rest = {name: weights[name] for name, share in own.items() if share is None}
    if settings.scope == "layer":
        masks |= {n: _keep_largest(values, settings.sparsity) for n, values in rest.items()}
    elif rest:
        masks |= _global_masks(rest, settings.sparsity)
    if not settings.shares:
        return masks
    return {name: masks[name] for name in names if not masks[name].all() or name in before}


def _global_masks(
    weights: Mapping[str, npt.NDArray[np.float64]], sparsity: float
) -> dict[str, Mask]:
    """Return masks after ranking the weights of all layers together."""
    kept = _keep_largest(np.concatenate([v.reshape(-1) for v in weights.values()]), sparsity)
    cuts = np.cumsum([values.size for values in weights.values()])[:-1]
    pieces = np.split(kept, cuts)
    return {n: piece.reshape(weights[n].shape) for n, piece in zip(weights, pieces, strict=True)}


def _own_share(name: str, layer: str, shares: Mapping[str, float]) -> float | None:
    found = None
    for pattern, share in shares.items():
        if _fits(name, layer, pattern):
            found = share
    return found


def check_prune_layers(graph: Graph, patterns: Iterable[str]) -> None:
    """Refuse names of ``[prune.layers]`` that match no layer with weights.

    Raises:
        RecipeError: Lists every such name with the closest layer.
    """
    users = weight_users(graph)
    layers = sorted(set(users.values()))
    problems = [
        f"prune.layers '{shortened(pattern)}' matches no layer with weights; "
        f"{did_you_mean(pattern, layers)}"
        for pattern in patterns
        if not any(_fits(name, layer, pattern) for name, layer in users.items())
    ]
    if problems:
        raise RecipeError("pruning cannot be carried out", problems=problems)


def weight_users(graph: Graph) -> dict[str, str]:
    """Return the weights that pruning may remove, each with the first layer that uses it."""
    users = {
        node.inputs[1]: node.name
        for node in reversed(graph.nodes)
        if node.op in WEIGHTED and node.inputs[1] in graph.constants
    }
    return dict(reversed(users.items()))


def _fits(name: str, layer: str, pattern: str) -> bool:
    """Return whether a pattern means a weight, by its own name or its layer's."""
    return fnmatchcase(name, pattern) or fnmatchcase(layer, pattern)


def _settings(run: Run) -> PruneSettings:
    section = run.recipe.prune
    found: dict[str, Any] = {}
    if section.active:
        found = {"sparsity": section.sparsity, "scope": section.scope, "shares": section.layers}
    for name in ("sparsity", "scope", "layers", "keep"):
        value = run.step_options.get(name, getattr(run.options, name, None))
        if value is not None:
            found[name] = tuple(value) if name in ("layers", "keep") else value
    settings = PruneSettings(**found)
    if not 0.0 <= settings.sparsity < 1.0 or settings.scope not in ("global", "layer"):
        raise RecipeError(
            f"step '{run.step}' asks for sparsity {settings.sparsity}, scope {settings.scope!r}",
            hint="sparsity lies in 0 … below 1, scope is 'global' or 'layer'",
        )
    return settings


def _prunable(graph: Graph, settings: PruneSettings) -> tuple[str, ...]:
    """Return the weights to prune, each once though several nodes may share it."""
    users = weight_users(graph)

    def matches(name: str, patterns: Iterable[str]) -> bool:
        return any(_fits(name, users[name], pattern) for pattern in patterns)

    for pattern in (*settings.layers, *settings.keep, *settings.shares):
        if not any(matches(name, (pattern,)) for name in users):
            raise RecipeError(
                f"pruning: '{pattern}' matches no layer with weights",
                hint="layers with weights: " + listed(sorted(set(users.values()))),
            )
    chosen = [
        name
        for name in users
        if (not settings.layers or matches(name, settings.layers))
        and not matches(name, settings.keep)
    ]
    if not chosen:
        raise RecipeError("pruning: no layer with weights is left to prune", hint="check `keep`")
    return tuple(chosen)


def _masked(weights: FloatConstant, mask: Mask) -> FloatConstant:
    masked = weights.copy()
    masked[~mask] = 0.0
    masked.flags.writeable = False
    return masked


def _magnitudes(weights: FloatConstant, mask: Mask | None) -> npt.NDArray[np.float64]:
    magnitudes = np.abs(weights.astype(np.float64))
    # Pruned before: smaller than any weight that is there, zeros included.
    return magnitudes if mask is None else np.where(mask, magnitudes, -1.0)


def _keep_largest(magnitudes: npt.NDArray[np.float64], sparsity: float) -> Mask:
    flat = magnitudes.reshape(-1)
    kept: Mask = flat >= 0.0
    kept[np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]] = False
    return kept.reshape(magnitudes.shape)
