"""What a recipe asks of the current generation that it does not have, or that TI advises against.

The advice on quantized training is that of edgeai-modeloptimization 11.1: SGD, a rate near 1e-5,
25 to 50 epochs.
"""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import idle_findings
from nibblefit.results import Finding, Status
from nibblefit_tidl.configuration.provider_rules import FEWEST_FRAMES
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.sparsity.idle import INSTEAD_OF_PRUNE, idle_stage_keys

#: Largest learning rate of quantized training that draws no remark.
LARGEST_RATE = 1e-3


#: Keys of core's recipe that are never read → what to use instead.
UNREAD = frozen_mapping(
    {
        "quantize.method": "set target.accuracy_level, which says how ranges are found",
        "quantize.percentile": "set target.activation_range_shrink",
        "quantize.layers": "use target.output_feature_16bit_names and target.params_16bit_names",
        "prune": INSTEAD_OF_PRUNE,
    }
)
#: What only integers have, in ``[target]`` and elsewhere.
_OF_INTEGERS = (
    "quantize.calibration_samples", "calibration", "evaluate.judge_samples", "target.front",
    "target.front_mean", "target.front_scale", "target.front_border", "target.accuracy_level",
    "target.narrow_bias", "target.weight_range_method", "target.activation_range_shrink",
    "target.weight_range_shrink", "target.calibration_iterations", "target.calibration_frames",
    "target.bias_calibration_factor", "target.high_resolution_optimization",
)  # fmt: skip


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
    found += idle_findings(recipe, dict(_idle(recipe, options)), options)
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


def _idle(recipe: Recipe, options: TidlOptions) -> Iterator[tuple[str, str]]:
    """Yield keys that nothing reads, as the rest of the recipe is, and why."""
    yield from idle_stage_keys(recipe, options)
    if not options.qat:
        yield "target.qat_averaging", "without target.qat = true"
    if options.tensor_bits == 32:
        for key in _OF_INTEGERS:
            yield key, "with target.tensor_bits = 32, where nothing is quantized"
        if not options.sparsify:
            yield "evaluate.max_drop", "with target.tensor_bits = 32, where nothing is quantized"
    device = device_named(recipe.target.part)
    if not device.narrow_bias:
        yield "target.narrow_bias", f"on {device.name}, which has no narrow biases"


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
