"""What a recipe asks for that would have no effect."""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import idle_findings
from nibblefit.results import Finding
from nibblefit_tao.options import Regularizer, TaoOptions

#: Options that say what is pruned; read by no step without pruning.
_PRUNING = (
    "threshold", "ratio", "macs", "weight_bytes", "ratios", "thresholds", "normalizer",
    "equalization_criterion", "pruning_granularity", "min_num_filters", "excluded_layers",
    "layer_thresholds", "score_batch_norm", "prune_transposed",
)  # fmt: skip


#: What calibration reads.
_CALIBRATING = ("method", "percentile", "calibration_samples")


def recipe_findings(recipe: Recipe, options: TaoOptions) -> list[Finding]:
    """Return a warning for every setting that nothing reads."""
    return idle_findings(recipe, dict(_idle(options)), options)


def _idle(options: TaoOptions) -> Iterator[tuple[str, str]]:
    """Yield keys that nothing reads, as the rest of the recipe is, and why."""
    if options.qat:
        for key in ("calibration", *(f"quantize.{name}" for name in _CALIBRATING)):
            yield key, "with target.qat = true, whose training finds the ranges"
    else:
        yield "target.qat_relu6", "without target.qat = true"
    if not options.prune:
        for name in _PRUNING:
            yield f"target.{name}", "with target.prune = false"
    if not (options.prune or options.qat):
        for name in ("retrain_regularizer", "retrain_regularizer_weight"):
            yield f"target.{name}", "without target.prune = true or target.qat = true"
    for kind in ("regularizer", "retrain_regularizer"):
        if getattr(options, f"{kind}_weight") == 0:
            yield f"target.{kind}", f"with target.{kind}_weight = 0"
        elif getattr(options, kind) is Regularizer.NO_REG:
            yield f"target.{kind}_weight", f"with target.{kind} = 'NO_REG'"
