"""Keys of a recipe that this target does not read, always or beside the others."""

from __future__ import annotations

from collections.abc import Iterator

from nibblefit.ir.graph import frozen_mapping
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import idle_findings
from nibblefit.results import Finding
from nibblefit_maxim.options import MaximOptions

_RANGES = (
    "ranges are powers of two by the vendor's rule: set target.outlier_deviations for activations, "
    "target.shift_quantile for weights"
)
#: Keys of core's recipe that are never read → what to use instead.
UNREAD = frozen_mapping({"quantize.method": _RANGES, "quantize.percentile": _RANGES})


def idle_keys(recipe: Recipe, options: MaximOptions) -> list[Finding]:
    """Return a warning for every setting that nothing reads."""
    return idle_findings(recipe, dict(_idle(options)), options)


def _idle(options: MaximOptions) -> Iterator[tuple[str, str]]:
    why = "with target.activation_thresholds = false"
    if options.generation == "v1":
        why = "with target.generation = 'v1', which has no thresholds"
        yield "target.activation_thresholds", why
    if not options.measures_thresholds:
        for key in ("target.outlier_deviations", "quantize.calibration_samples", "calibration"):
            yield key, why
    if options.search is not None:
        yield "target.weight_bits", "with target.search, which finds the widths"
