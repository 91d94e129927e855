"""What a recipe asks of the classic generation that it does not have."""

from __future__ import annotations

from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Status


def recipe_findings(recipe: Recipe) -> list[Finding]:
    """Return problems; nothing for a recipe without any."""
    if not recipe.quantize.layers:
        return []
    name = next(iter(recipe.quantize.layers))
    return [
        Finding(
            "tidl.widths", Status.FAILED,
            f"quantize.layers sets '{name}' apart; classic TIDL has one width for all layers",
            "quantize.layers", "set target.parameter_bits instead",
        )
    ]  # fmt: skip
