"""What a recipe asks for that cannot be, and what is worth a word."""

from __future__ import annotations

from pathlib import Path

from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Status
from nibblefit_vitis.configuration.recipe_tables import recipe_findings as configuration_findings
from nibblefit_vitis.options import VitisOptions

#: Fewest calibration samples that draw no remark. Source: Vitis AI's manual, 100 to 1,000 images.
FEWEST_SAMPLES = 100


def recipe_findings(recipe: Recipe, options: VitisOptions) -> list[Finding]:
    """Return problems of the configuration, and advice."""
    target = options.model_dump(include={"configuration", "settings", "parity"})
    found = configuration_findings(target, recipe.quantize.layers, Path(recipe.folder))
    if recipe.quantize.calibration_samples < FEWEST_SAMPLES:
        found.append(
            Finding(
                "vitis.calibration", Status.WARNING,
                f"{recipe.quantize.calibration_samples} calibration samples are few",
                "quantize.calibration_samples", f"use at least {FEWEST_SAMPLES}",
            )
        )  # fmt: skip
    if options.qat and options.fast_finetune:
        found.append(
            Finding(
                "vitis.finetune", Status.FAILED,
                "fast_finetune trains weights after calibration, and with qat there is none",
                "target.fast_finetune", "keep one of target.qat and target.fast_finetune",
            )
        )  # fmt: skip
    return found
