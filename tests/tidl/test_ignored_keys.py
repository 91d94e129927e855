"""Recipe keys that these targets do not read are refused or told."""

from __future__ import annotations

from typing import Any

import pytest

from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import IDLE, UNREAD
from nibblefit.results import Status
from nibblefit.runner import make_manager
from nibblefit.runner.findings import recipe_findings


def said(name: str, changes: dict[str, Any], **target: Any) -> list[tuple[str, str, Status]]:
    """Return rule, place and status of what is said about keys without effect."""
    recipe = Recipe.model_validate({
        "model": {"source": "net.onnx"}, "target": {"name": name, **target}, **changes,
    })  # fmt: skip
    found = recipe_findings(make_manager(recipe), recipe)
    return [(one.rule, one.where, one.status) for one in found if one.rule in (UNREAD, IDLE)]


@pytest.mark.parametrize("name", ["tidl", "tidl-classic"])
@pytest.mark.parametrize(("section", "values"), [
    ("quantize", {"method": "minmax"}), ("quantize", {"percentile": 90.0}),
    ("quantize", {"layers": {"*": {"weight_bits": 4}}}), ("prune", {"sparsity": 0.5}),
    ("prune", {"layers": {"fc": 0.5}}),
])  # fmt: skip
def test_keys_that_are_never_read_are_refused(
    name: str, section: str, values: dict[str, Any]
) -> None:
    """They were silently without effect before."""
    (key,) = values
    assert said(name, {section: values}) == [(UNREAD, f"{section}.{key}", Status.FAILED)]


_SAMPLES = {
    "quantize": {"calibration_samples": 9}, "calibration": {"path": "pictures"},
    "evaluate": {"judge_samples": 9, "max_drop": 0.1},
}  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "target", "places"), [
    ("tidl", _SAMPLES, {}, []),
    ("tidl", {}, {"l1": 0.1, "search": [0.5], "sparsity": {"start_iter": 3}},
     ["target.l1", "target.search", "target.sparsity.start_iter"]),
    ("tidl", {}, {"l1": 0.1, "search": [0.5], "sparsity": {"start_iter": 3}, "sparsify": True}, []),
    ("tidl", {}, {"search": [0.5], "sparsity": {"target": 0.6}, "sparsify": True},
     ["target.sparsity.target"]),
    ("tidl", {}, {"qat_averaging": 0.2}, ["target.qat_averaging"]),
    ("tidl", {}, {"qat_averaging": 0.2, "qat": True}, []),
    ("tidl", {}, {"narrow_bias": "product"}, []),
    ("tidl", {}, {"narrow_bias": "product", "part": "am68a"}, ["target.narrow_bias"]),
    ("tidl", _SAMPLES, {"tensor_bits": 32, "accuracy_level": 2},
     ["quantize.calibration_samples", "calibration.path", "evaluate.judge_samples",
      "target.accuracy_level", "evaluate.max_drop"]),
    ("tidl", {"evaluate": {"max_drop": 0.1}}, {"tensor_bits": 32, "sparsify": True}, []),
    ("tidl-classic", _SAMPLES, {"l1": 0.1, "l2": 0.1}, []),
    ("tidl-classic", {"train": {"weight_decay": 0.0}}, {"l2": 0.1}, ["target.l2"]),
    ("tidl", {"train_steps": {"initial": {"weight_decay": 0.1}}}, {"l2": 0.1}, ["target.l2"]),
    ("tidl", {"train_steps": {"qat": {"weight_decay": 0.1}}}, {"l2": 0.1, "qat": True}, []),
    ("tidl-classic", {}, {"l1_stage": False, "sparsify": False, "sparsity": {"target": 0.5}},
     ["target.l1_stage", "target.sparsity.target"]),
    ("tidl-classic", {}, {"first_frames": 3, "history_weighs": "frame"},
     ["target.first_frames", "target.history_weighs"]),
    ("tidl-classic", {}, {"first_frames": 3, "frames": "video"}, []),
    ("tidl-classic", {}, {"first_frames": 3, "history_first": 10}, []),
])  # fmt: skip
def test_keys_that_others_make_idle_are_told(
    name: str, changes: dict[str, Any], target: dict[str, Any], places: list[str]
) -> None:
    """A warning each; where something reads the key, none."""
    assert said(name, changes, **target) == [(IDLE, place, Status.WARNING) for place in places]
