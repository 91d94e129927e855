"""Keys about sparsity that do nothing: core's, and those of stages that do not run."""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit.recipe import Recipe
from nibblefit_tidl.sparsity.options import FIRST, StageOptions, has_decay

#: What to use in place of core's ``[prune]``, which is no part of the three stages.
INSTEAD_OF_PRUNE = "set target.sparsify and target.sparsity: these devices prune in three stages"


def idle_stage_keys(recipe: Recipe, options: StageOptions) -> Iterator[tuple[str, str]]:
    """Yield keys of the stages that nothing reads, as the rest of the recipe is, and why."""
    if has_decay(recipe, FIRST):
        yield "target.l2", "with train.weight_decay, which takes its place"
    if not options.sparsify:
        for name in ("l1", "l1_stage", "search", "sparsity"):
            yield f"target.{name}", "with target.sparsify = false"
    elif options.search:
        yield "target.sparsity.target", "with target.search, whose sparsities are tried instead"
