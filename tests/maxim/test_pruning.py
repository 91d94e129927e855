"""Pruning in this target's plan: zeros hold through folding, QAT and the integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nibblefit.errors import RecipeError
from nibblefit.ir.ops import WEIGHTED
from nibblefit.plan import Stage, Step
from nibblefit.runner import load_recipe, run
from nibblefit.workspace import open_run
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.plan import plan_for

pytest.importorskip("lightning", reason="extra 'train' is not installed")

SHORT = {
    "model.arguments.width": 4, "train.epochs": 1, "train.float.epochs": 1, "train.qat.epochs": 1,
    "evaluate.floor": 0.0, "evaluate.max_drop": 1.0, "evaluate.samples": 32,
    "evaluate.judge_samples": 4, "prune.sparsity": 0.5, "run.device": "cpu",
}  # fmt: skip


def test_zeros_of_pruning_are_zeros_on_the_chip(root: Path, tmp_path: Path) -> None:
    """Half of every layer's weights; quantized training moves only the others."""
    recipe = load_recipe(root / "examples/digits_maxim.toml", SHORT)
    run(recipe, tmp_path / "run", until="evaluate")
    opened = open_run(tmp_path / "run")
    masks = opened.model("recover").masks
    trained, graph = opened.model("qat"), opened.graph()
    assert trained.masks
    assert sum(m.size for m in trained.masks.values()) == sum(m.size for m in masks.values())
    for name, mask in trained.masks.items():
        assert (~mask).sum() == round(0.5 * mask.size)
        assert not trained.graph.constants[name][~mask].any()
    shares = [
        (graph.constants[node.inputs[1]] == 0).mean() for node in graph.nodes if node.op in WEIGHTED
    ]
    assert len(shares) == len(masks)
    assert np.min(shares) >= 0.5
    assert opened.report("evaluate").metrics["sparsity"] >= 0.5
    assert not opened.report("evaluate").failed


def test_pruning_needs_a_float_training_that_is_over(root: Path) -> None:
    """Where one training switches on its way, there is no moment to prune."""
    switching = {**SHORT, "target.start_epoch": 1}
    path = root / "examples/digits_maxim.toml"
    with pytest.raises(RecipeError, match=r"(?s)pruning comes between.*target.start_epoch unset"):
        load_recipe(path, switching)
    recipe = load_recipe(path, SHORT)
    stages = [i.stage for i in plan_for(recipe, MaximOptions()) if isinstance(i, Step)]
    assert stages.index(Stage.PRUNE) < stages.index(Stage.QUANTIZE)
