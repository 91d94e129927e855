"""What a recipe asks of the classic generation that has no effect there."""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit.ir.graph import frozen_mapping
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import idle_findings
from nibblefit.results import Finding
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.sparsity.idle import INSTEAD_OF_PRUNE, idle_stage_keys

_EXTREMES = "a frame's extremes are its range: see target.frames, target.history and target.margin"
#: Keys of core's recipe that are never read → what to use instead.
UNREAD = frozen_mapping(
    {
        "quantize.method": _EXTREMES,
        "quantize.percentile": _EXTREMES,
        "quantize.layers": "set target.parameter_bits: all layers have one width",
        "prune": INSTEAD_OF_PRUNE,
    }
)


def recipe_findings(recipe: Recipe, options: ClassicOptions) -> list[Finding]:
    """Return a warning for every setting that nothing reads."""
    return idle_findings(recipe, dict(_idle(recipe, options)), options)


def _idle(recipe: Recipe, options: ClassicOptions) -> Iterator[tuple[str, str]]:
    """Yield keys that nothing reads, as the rest of the recipe is, and why."""
    yield from idle_stage_keys(recipe, options)
    if options.frames == "still" and not options.history and not options.history_first:
        for name in ("first_frames", "history_weighs"):
            yield f"target.{name}", "without target.history or target.history_first"
