"""What a recipe asks of the current generation that it does not have, or that TI advises against.

The advice on quantized training is that of edgeai-modeloptimization 11.1: SGD, a rate near 1e-5,
25 to 50 epochs.
"""

from __future__ import annotations

from nibblefit.errors import RecipeError
from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Status
from nibblefit_tidl.configuration.provider_rules import FEWEST_FRAMES
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import device_named

#: Largest learning rate of quantized training that draws no remark.
LARGEST_RATE = 1e-3


def recipe_findings(recipe: Recipe, options: TidlOptions) -> list[Finding]:
    """Return problems and advice; nothing for a recipe that is as recommended."""
    found = []
    try:
        mode_of(device_named(recipe.target.part), options)
    except RecipeError as error:
        found += [
            Finding("tidl.device", Status.FAILED, problem, "target", error.hint)
            for problem in error.problems
        ]
    if recipe.quantize.layers:
        found.append(
            Finding(
                "tidl.widths", Status.FAILED,
                f"quantize.layers sets '{next(iter(recipe.quantize.layers))}' apart; this target "
                "has lists of names for that",
                "quantize.layers",
                "use target.output_feature_16bit_names and target.params_16bit_names",
            )
        )  # fmt: skip
    if options.qat:
        found += _training(recipe)
    frames = min(options.calibration_frames, recipe.quantize.calibration_samples)
    if frames < FEWEST_FRAMES:
        found.append(
            Finding(
                "tidl.calibration", Status.WARNING,
                f"{frames} calibration frames are few; accuracy with TIDL is often lost this way",
                "target.calibration_frames", f"use at least {FEWEST_FRAMES}, better 50",
            )
        )  # fmt: skip
    return found


def _training(recipe: Recipe) -> list[Finding]:
    settings, found = recipe.train_for("qat"), []
    if settings.optimizer != "sgd":
        found.append(
            Finding(
                "tidl.qat", Status.WARNING,
                f"quantized training uses {settings.optimizer}; sgd keeps ranges steadier",
                "train.qat.optimizer", 'set [train.qat] optimizer = "sgd"',
            )
        )  # fmt: skip
    if settings.learning_rate > LARGEST_RATE:
        found.append(
            Finding(
                "tidl.qat", Status.WARNING,
                f"quantized training starts at learning rate {settings.learning_rate:g}",
                "train.qat.learning_rate", "use about 1e-5, as the last epochs of float training",
            )
        )  # fmt: skip
    return found
