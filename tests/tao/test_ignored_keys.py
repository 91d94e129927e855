"""Recipe keys that this target does not read are refused or told."""

from __future__ import annotations

from typing import Any

import pytest

from nibblefit.recipe import Recipe
from nibblefit.results import Status
from nibblefit.runner import make_manager
from nibblefit.runner.findings import recipe_findings

_CALIBRATION = {"quantize": {"method": "minmax", "calibration_samples": 9}}


@pytest.mark.parametrize(("changes", "target", "status", "places"), [
    ({}, {}, Status.WARNING, []),
    ({"prune": {"sparsity": 0.5, "scope": "global"}}, {}, Status.FAILED,
     ["prune.sparsity", "prune.scope"]),
    (_CALIBRATION, {}, Status.WARNING, []),
    (_CALIBRATION, {"qat": True}, Status.WARNING,
     ["quantize.method", "quantize.calibration_samples"]),
    ({}, {"prune": False, "retrain_regularizer": "L1"}, Status.WARNING,
     ["target.retrain_regularizer"]),
    ({}, {"prune": False, "qat": True, "retrain_regularizer": "L1"}, Status.WARNING, []),
    ({}, {"regularizer": "NO_REG", "regularizer_weight": 1e-4}, Status.WARNING,
     ["target.regularizer_weight"]),
    ({}, {"regularizer": "NO_REG"}, Status.WARNING, []),
    ({}, {"regularizer_weight": 0.0}, Status.WARNING, []),
])  # fmt: skip
def test_ignored_keys_are_said(
    changes: dict[str, Any], target: dict[str, Any], status: Status, places: list[str]
) -> None:
    """Each at its place; where something reads it, nothing is said."""
    recipe = Recipe.model_validate({
        "model": {"source": "net.onnx"}, "target": {"name": "tao", **target}, **changes,
    })  # fmt: skip
    found = recipe_findings(make_manager(recipe), recipe)
    assert [one.where for one in found] == places
    assert {one.status for one in found} <= {status}
