"""The search for the highest sparsity that the drop budget allows, on real training."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tidl.test_stages import NETWORK

from nibblefit.recipe import Recipe
from nibblefit.runner import run
from nibblefit.workspace import open_run

TRIED = {"s300": 0.3, "s600": 0.6, "s930": 0.93}
BUDGET = 0.1


@pytest.mark.slow
@pytest.mark.extra("train")
def test_the_search_takes_the_highest_sparsity_within_the_budget(tmp_path: Path) -> None:
    """One candidate loses too much; the densest ones lose nothing; the one between goes on."""
    (tmp_path / "net.py").write_text(NETWORK)
    recipe = Recipe.model_validate({
        "model": {"source": "net.py:build"},
        "target": {"name": "tidl-classic", "l1_stage": False, "search": list(TRIED.values()),
                   "sparsity": {"threshold_maxratio": 1.0, "threshold_value_max": 9.0}},
        "train": {"epochs": 2, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64},
        "train_steps": {"sparse": {"epochs": 1, "learning_rate": 1e-4}},
        "quantize": {"calibration_samples": 32},
        "evaluate": {"judge_samples": 2, "max_drop": BUDGET},
        "folder": str(tmp_path),
    })  # fmt: skip
    run(recipe, tmp_path / "run", until="quantize")
    opened = open_run(tmp_path / "run")
    before = opened.report("evaluate_initial").metrics["top1"]
    reports = {name: opened.report(f"evaluate_sparse@{name}").metrics for name in TRIED}
    within = [name for name in TRIED if before - reports[name]["top1"] <= BUDGET]
    assert within == ["s300", "s600"]
    graph = opened.graph("quantize")
    (zero,) = set(graph.tensors["4.weight"].format.zero_point)
    share = float((graph.constants["4.weight"] == zero).mean())
    assert TRIED["s600"] <= share < TRIED["s930"]
