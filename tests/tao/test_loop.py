"""The whole loop on a small network: train, prune, retrain, accept, quantize."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nibblefit import open_run
from nibblefit.errors import LimitError, RecipeError
from nibblefit.nn.network import Network
from nibblefit.recipe_file import read_recipe
from nibblefit.runner import run
from nibblefit_tao.pruning.plan import read_plan
from nibblefit_tao.target import TARGET

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tao" / "digits.toml"
QUICK = {"train.epochs": 2, "train.retrain.epochs": 1, "evaluate.floor": 0.0}


def go(folder: Path, **changes: object) -> list[str]:
    """Run the example with changes and return the steps."""
    overrides = {**QUICK, **{key.replace("__", "."): value for key, value in changes.items()}}
    outcome = run(read_recipe(EXAMPLE, overrides), folder)
    return [record.name for record in outcome.steps]


@pytest.mark.extra("train")
def test_the_loop_prunes_retrains_and_quantizes_what_is_left(tmp_path: Path) -> None:
    """The pruned model is smaller everywhere, its plan makes it again, its integers agree."""
    steps = go(tmp_path, target__ratios=[0.4], evaluate__max_drop=1.0)
    assert steps == [
        "prepare", "train", "evaluate_train", "prune@r400", "evaluate_prune@r400",
        "retrain@r400", "evaluate_retrain@r400", "quantize", "compile", "evaluate",
    ]  # fmt: skip
    opened = open_run(tmp_path)
    whole, pruned = opened.model("train"), opened.model("prune")
    folder = next(tmp_path.glob("stages/*-loop/r400/*-prune"))
    small = read_plan(folder / "plan.json").apply(whole.graph)
    assert {n: v.shape for n, v in small.constants.items()} == {
        n: v.shape for n, v in pruned.graph.constants.items()
    }
    assert all(np.array_equal(v, pruned.graph.constants[n]) for n, v in small.constants.items())
    Network(small).load_state_dict(Network(opened.model("retrain").graph).state_dict())
    report = opened.report("evaluate_retrain")
    assert report.metrics["pruning_ratio"] <= 0.4
    assert report.metrics["parameters"] == sum(v.size for v in small.constants.values())
    curve = json.loads((folder / "curve.json").read_text())
    assert curve["ratio"][0] == 1.0
    assert curve["ratio"] == sorted(curve["ratio"], reverse=True)


@pytest.mark.extra("train")
def test_candidates_are_tried_until_one_is_accurate_enough(tmp_path: Path) -> None:
    """Without a budget for loss no pruned network passes; all are told, the run stops."""
    with pytest.raises(LimitError, match=r"no candidate(.|\n)*• t990(.|\n)*• t980(.|\n)*retrain"):
        go(tmp_path, target__ratios=[], target__thresholds=[0.98, 0.99],
           evaluate__max_drop=0.0, train__retrain__learning_rate=1.0)  # fmt: skip


@pytest.mark.extra("train")
def test_a_threshold_that_removes_nothing_is_said(tmp_path: Path) -> None:
    """The warning tells the weakest filter's score and what to do."""
    steps = go(tmp_path, target__ratios=[], target__threshold=0.0001, evaluate__max_drop=1.0)
    assert "prune" in steps
    warnings = [e["message"] for e in open_run(tmp_path).journal() if e["event"] == "warning"]
    assert any("removes nothing: the weakest filter scores" in text for text in warnings)
    assert open_run(tmp_path).report("evaluate_retrain").metrics["pruning_ratio"] == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target.ratio": 0.5, "target.threshold": 0.2}, "ratio and threshold contradict"),
        ({"target.thresholds": [0.2]}, "ratios or thresholds, not both"),
        ({"target.normalizer": "max2"}, "normalizer"),
        ({"target.ratio": 1.0}, "ratio"),
    ],
)
def test_contradicting_options_are_refused(changes: dict[str, object], words: str) -> None:
    """One line for each, before anything runs."""
    from nibblefit.recipe_file import target_options

    with pytest.raises(RecipeError, match=words):
        target_options(read_recipe(EXAMPLE, changes), TARGET.info)
