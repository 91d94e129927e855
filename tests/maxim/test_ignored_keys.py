"""Recipe keys that this target does not read are refused or told."""

from __future__ import annotations

from typing import Any

import pytest

from nibblefit.recipe import Recipe
from nibblefit.results import Status
from nibblefit.runner import make_manager
from nibblefit.runner.findings import recipe_findings

_METHOD = {"quantize": {"method": "minmax", "percentile": 90.0}}
_SAMPLES = {"quantize": {"calibration_samples": 9}, "calibration": {"path": "pictures"}}


@pytest.mark.parametrize(("changes", "target", "status", "places"), [
    ({}, {}, Status.WARNING, []),
    (_METHOD, {}, Status.FAILED, ["quantize.method", "quantize.percentile"]),
    (_SAMPLES, {}, Status.WARNING, []),
    ({"prune": {"sparsity": 0.5}}, {"outlier_deviations": 6.0}, Status.WARNING, []),
    (_SAMPLES, {"activation_thresholds": False, "outlier_deviations": 6.0}, Status.WARNING,
     ["target.outlier_deviations", "quantize.calibration_samples", "calibration.path"]),
    ({}, {"weight_bits": 4}, Status.WARNING, []),
    ({}, {"weight_bits": 4, "search": {}}, Status.WARNING, ["target.weight_bits"]),
    ({}, {"generation": "v1", "activation_thresholds": False}, Status.WARNING,
     ["target.activation_thresholds"]),
    (_SAMPLES, {"generation": "v1"}, Status.WARNING,
     ["quantize.calibration_samples", "calibration.path"]),
])  # fmt: skip
def test_ignored_keys_are_said(
    changes: dict[str, Any], target: dict[str, Any], status: Status, places: list[str]
) -> None:
    """Each at its place; where something reads it, nothing is said."""
    recipe = Recipe.model_validate({
        "model": {"source": "net.onnx"}, "target": {"name": "maxim", **target}, **changes,
    })  # fmt: skip
    found = recipe_findings(make_manager(recipe), recipe)
    assert [one.where for one in found] == places
    assert {one.status for one in found} <= {status}
