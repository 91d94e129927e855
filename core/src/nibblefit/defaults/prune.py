"""Core's pruning: weights of small magnitude become zero and stay so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import FloatConstant, Graph, frozen_mapping
from nibblefit.ir.ops import WEIGHTED
from nibblefit.models import Mask, Model
from nibblefit.run import Run


@dataclass(frozen=True, slots=True)
class PruneSettings:
    """How much to prune, and where.

    Attributes:
        sparsity: Share of weights that are zero afterwards, 0 … below 1.
        scope: ``global`` ranks all weights of all layers together, ``layer`` each layer's own.
        layers: Globs on weight or layer names that are pruned; empty prunes all.
        keep: Globs that are never pruned.
    """

    sparsity: float = 0.5
    scope: Literal["global", "layer"] = "layer"
    layers: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


def prune(run: Run, model: Model) -> Model:
    """Mask the smallest weights of convolutions and linear layers.

    Settings come from the plan's step options, then from the target's options of the same name
    (``sparsity``, ``scope``, ``layers``, ``keep``), then from `PruneSettings`. Weights that a mask
    already removed stay removed and count towards the sparsity.
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
    of equal magnitudes the earlier ones go first.

    Raises:
        RecipeError: A glob matches no layer.
    """
    before = before or {}
    names = _prunable(graph, settings)
    weights = {name: _magnitudes(graph.constants[name], before.get(name)) for name in names}
    if settings.scope == "layer":
        return {name: _keep_largest(values, settings.sparsity) for name, values in weights.items()}
    joined = np.concatenate([values.reshape(-1) for values in weights.values()])
    kept = _keep_largest(joined, settings.sparsity)
    cuts = np.cumsum([values.size for values in weights.values()])[:-1]
    pieces = np.split(kept, cuts)
    return {n: piece.reshape(weights[n].shape) for n, piece in zip(weights, pieces, strict=True)}


def _settings(run: Run) -> PruneSettings:
    found: dict[str, Any] = {}
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
    users = {
        node.inputs[1]: node.name
        for node in reversed(graph.nodes)
        if node.op in WEIGHTED and node.inputs[1] in graph.constants
    }

    def matches(name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatchcase(n, p) for p in patterns for n in (name, users[name]))

    for pattern in (*settings.layers, *settings.keep):
        if not any(matches(name, (pattern,)) for name in users):
            raise RecipeError(
                f"pruning: '{pattern}' matches no layer with weights",
                hint="layers with weights: " + ", ".join(sorted(users.values())),
            )
    chosen = [
        name
        for name in reversed(users)
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
