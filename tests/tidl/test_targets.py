"""Both targets as core sees them: contract, refusals, small runs from training to files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nibblefit.conformance import target_checks
from nibblefit.errors import RecipeError
from nibblefit.recipe import QuantizeSection, Recipe
from nibblefit.results import Status
from nibblefit.runner import make_manager, run
from nibblefit.runner.findings import recipe_findings
from nibblefit.workspace import open_run
from nibblefit_tidl.classic.target import TARGET as CLASSIC
from nibblefit_tidl.current.target import TARGET as CURRENT

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10),
    )
"""


@target_checks("tidl")
def test_tidl_keeps_the_contract(check: object) -> None:
    """Every check of the conformance kit passes."""
    check()  # type: ignore[operator]


@target_checks("tidl-classic")
def test_classic_keeps_the_contract(check: object) -> None:
    """Every check of the conformance kit passes."""
    check()  # type: ignore[operator]


def test_targets_are_imported_without_torch() -> None:
    """Listing targets stays fast."""
    code = (
        "import sys, nibblefit_tidl.classic.target, nibblefit_tidl.current.target; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_QAT = {"epochs": 2, "optimizer": "sgd", "learning_rate": 1e-4}


def _recipe(folder: Path, name: str, **target: object) -> Recipe:
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    return Recipe.model_validate({
        "model": {"source": "net.py:build"},
        "target": {"name": name, **target},
        "train": {"epochs": 2, "learning_rate": 0.01},
        "train_steps": {"qat": _QAT} if target.get("qat") else {},
        "quantize": {"calibration_samples": 32},
        "evaluate": {"samples": 60, "judge_samples": 30, "batch_size": 16, "max_drop": 1.0},
        "run": {"threads": 1},
        "folder": str(folder),
    })  # fmt: skip


@pytest.mark.extra("train")
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("tidl-classic", {"sparsify": False, "frames": "video"}),
        ("tidl", {"part": "tda4vm", "calibration_iterations": 2}),
        ("tidl", {"part": "tda4vm", "qat": True}),
        ("tidl", {"part": "am68a", "qat": True}),
        ("tidl", {"part": "am68a", "output_feature_16bit_names": ["0", "9"],
                  "accuracy_level": 0}),
    ],
    ids=["video", "powers of two", "trained powers of two", "trained per channel", "mixed"],
)  # fmt: skip
def test_a_run_goes_from_training_to_the_integer_graph(
    name: str, target: dict[str, object], tmp_path: Path
) -> None:
    """Digits are learnt, quantized, and every execution agrees on every integer."""
    run(_recipe(tmp_path, name, **target), tmp_path / "run")
    report = open_run(tmp_path / "run").report("evaluate")
    rules = {finding.rule: finding.status for finding in report.findings}
    assert rules["exact.engine"] is rules["exact.simulation"] is Status.PASSED
    assert report.metrics["top1"] > 0.3
    assert open_run(tmp_path / "run").graph("quantize").target == name


@pytest.mark.extra("train")
def test_float_emulation_ends_with_the_float_network(tmp_path: Path) -> None:
    """tensor_bits = 32 quantizes nothing."""
    run(_recipe(tmp_path, "tidl", tensor_bits=32), tmp_path / "run")
    steps = [folder.name.partition("-")[2] for folder in (tmp_path / "run" / "stages").iterdir()]
    assert sorted(steps) == ["evaluate_initial", "initial", "prepare"]


@pytest.mark.parametrize("target", [CLASSIC, CURRENT])
def test_settings_per_layer_are_refused_with_the_recipe(target: object, tmp_path: Path) -> None:
    """Before any training, with what to use instead."""
    recipe = _recipe(tmp_path, target.info.name)
    manager = make_manager(recipe)
    assert not [f for f in recipe_findings(manager, recipe) if f.status is Status.FAILED]
    layers = QuantizeSection(layers={"0": {"weight_bits": 16}})
    (found,) = recipe_findings(manager, recipe.model_copy(update={"quantize": layers}))
    assert (found.status, found.where) == (Status.FAILED, "quantize.layers")
    assert "target." in found.hint


def test_each_device_declares_its_own_arithmetic() -> None:
    """Zero points and scales per channel everywhere but on TDA4VM."""
    info = CURRENT.info
    assert info.numerics_of("") == info.numerics == info.numerics_of("tda4vm")
    assert info.numerics.activations.symmetric
    for part in ("am68a", "am69a", "am67a", "am62a"):
        numerics = info.numerics_of(part)
        assert numerics.weights.per_channel
        assert not numerics.activations.symmetric


def test_a_device_is_refused_what_it_lacks(tmp_path: Path) -> None:
    """An asymmetric TDA4VM never starts to train."""
    recipe = _recipe(tmp_path, "tidl", part="tda4vm", quantization_scale_type=4)
    with pytest.raises(RecipeError):
        run(recipe, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*initial*"))
