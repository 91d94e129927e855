"""What is wrong with a recipe that fits its schema: keys without effect, what plugins object to."""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit.plugins import Manager
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import idle_findings, unread_findings
from nibblefit.results import Finding

_SGD = "sgd"
_PERCENTILE = "percentile"


def recipe_findings(manager: Manager, recipe: Recipe) -> list[Finding]:
    """Return every finding about a recipe: the target's unread keys, idle ones, the plugins' own.

    A key that the target never reads is a problem, like a key that does not exist; one that has no
    effect only beside the rest of the recipe is a warning, as recipes are changed key by key.
    """
    found = unread_findings(recipe, manager.target.info)
    refused = {finding.where for finding in found}
    idle = idle_findings(recipe, dict(_idle(recipe)))
    found += [finding for finding in idle if finding.where not in refused]
    return [*found, *manager.recipe_problems(recipe)]


def _idle(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield keys that do nothing on any target, as the recipe is, and why."""
    from nibblefit.data.catalog import WITHOUT_PATH

    if recipe.data.source in WITHOUT_PATH:
        yield "data.path", f"with data.source = '{recipe.data.source}'"
    if not recipe.model.weights:
        yield "model.match", "without model.weights"
    if not recipe.distill.teacher:
        yield "distill", "without distill.teacher"
    if not recipe.prune.active:
        yield "prune.scope", "without prune.sparsity"
    if not _wants_percentile(recipe):
        yield "quantize.percentile", "without quantize.method = 'percentile'"
    yield from _momentum(recipe)


def _wants_percentile(recipe: Recipe) -> bool:
    layers = recipe.quantize.layers.values()
    methods = {recipe.quantize.method, *(str(layer.get("method")) for layer in layers)}
    return _PERCENTILE in methods


def _momentum(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the momentum of trainings by another optimizer than SGD."""
    steps = {step: recipe.train_for(step).optimizer for step in recipe.train_steps}
    if _SGD not in {recipe.train.optimizer, *steps.values()}:
        yield "train.momentum", "without optimizer = 'sgd'"
