"""The three-stage training as a run: gates between the stages, the search, zeros to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nibblefit.errors import LimitError
from nibblefit.plan import Candidates, Gate, Step
from nibblefit.recipe import Recipe
from nibblefit.runner import run
from nibblefit.workspace import open_run
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.plan import plan_for

NETWORK = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    )
"""


def _recipe(folder: Path, target: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    (folder / "net.py").write_text(NETWORK)
    return Recipe.model_validate({
        "model": {"source": "net.py:build"},
        "target": {"name": "tidl-classic", **(target or {})},
        "train": {"epochs": 2, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64},
        "evaluate": {"judge_samples": 2, "max_drop": 0.1},
        "folder": str(folder),
        **sections,
    })  # fmt: skip


def _names(recipe: Recipe, options: ClassicOptions | TidlOptions) -> list[str]:
    return [item.name for item in plan_for(recipe, options)]


def test_the_plan_holds_three_stages_behind_gates(tmp_path: Path) -> None:
    """Initial behind its floor, L1 and sparse behind the drop budget, then the integers."""
    recipe = _recipe(tmp_path, evaluate={"floor": 0.9})
    plan = plan_for(recipe, ClassicOptions())
    assert [item.name for item in plan] == [
        "prepare", "initial", "evaluate_initial", "floor", "l1", "evaluate_l1", "l1_drop",
        "sparse", "evaluate_sparse", "sparse_drop", "quantize", "evaluate", "max_drop", "compile",
    ]  # fmt: skip
    drops = [item.drop for item in plan if isinstance(item, Gate) and item.drop_from]
    assert drops == [0.02] * 3
    assert all(isinstance(item, Step | Gate) for item in plan)


def test_what_the_options_leave_out_has_no_step(tmp_path: Path) -> None:
    """No L1 stage, no sparsity, a search instead of one sparsity; the current target is dense."""
    recipe = _recipe(tmp_path)
    assert "l1" not in _names(recipe, ClassicOptions(l1_stage=False))
    assert not {"l1", "sparse"} & set(_names(recipe, ClassicOptions(sparsify=False)))
    assert not {"l1", "sparse"} & set(_names(recipe, TidlOptions()))
    searching = plan_for(recipe, ClassicOptions(search=(0.5, 0.3)))
    (search,) = [item for item in searching if isinstance(item, Candidates)]
    assert list(search.settings) == ["s300", "s500"]
    with pytest.raises(ValueError, match="different numbers"):
        ClassicOptions(search=(0.5, 0.99))


@pytest.mark.parametrize("name", ["tidl-classic", "tidl"])
def test_zeros_stay_zero_to_the_end(tmp_path: Path, name: str) -> None:
    """What the sparse stage removed is zero in the integer graph, weight by weight."""
    settings = {"name": name, "sparsify": True, "l1_stage": False,
                "sparsity": {"target": 0.3, "threshold_maxratio": 1.0}}  # fmt: skip
    if name == "tidl":
        settings["calibration_iterations"] = 1
    recipe = _recipe(tmp_path, settings, evaluate={"judge_samples": 2, "max_drop": 1.0})
    run(recipe, tmp_path / "run", until="evaluate")
    opened = open_run(tmp_path / "run")
    sparse = opened.model("sparse")
    assert set(sparse.masks)
    graph = opened.graph("quantize")
    removed = sum(int((~mask).sum()) for mask in sparse.masks.values())
    assert removed > 1000
    for weights, mask in sparse.masks.items():
        (point,) = set(graph.tensors[weights].format.zero_point)
        assert (graph.constants[weights][~mask] == point).all()
    report = opened.report("evaluate_sparse")
    share = report.metrics["sparsity_of_convolutions"]
    total = sum(mask.size for mask in sparse.masks.values())
    assert share == pytest.approx(removed / total)
    (table,) = [one for one in report.tables if one.title == "Sparsity"]
    assert sum(row[2] for row in table.rows) == removed
    history = opened.model("sparse").history
    assert history[-1]["sparsity"] == pytest.approx(share)


def test_a_missed_floor_stops_the_run(tmp_path: Path) -> None:
    """The first stage below its floor: nothing after it runs, and the advice says what to do."""
    recipe = _recipe(tmp_path, evaluate={"floor": 0.999},
                     train={"epochs": 1, "learning_rate": 1e-6})  # fmt: skip
    with pytest.raises(LimitError, match="floor") as caught:
        run(recipe, tmp_path / "run")
    assert "later stages gain no accuracy" in str(caught.value.hint)
    assert not list((tmp_path / "run").rglob("*l1*"))


def test_a_search_keeps_the_highest_sparsity_within_the_budget(tmp_path: Path) -> None:
    """Of the sparsities tried, the highest one that loses no more than allowed goes on."""
    settings = {"l1_stage": False, "search": [0.2, 0.4],
                "sparsity": {"threshold_maxratio": 1.0, "threshold_value_max": 9.0}}  # fmt: skip
    recipe = _recipe(tmp_path, settings, evaluate={"max_drop": 1.0, "judge_samples": 2})
    run(recipe, tmp_path / "run", until="sparsity")
    opened = open_run(tmp_path / "run")
    shares = {
        name: opened.report(f"evaluate_sparse@{name}").metrics["sparsity_of_convolutions"]
        for name in ("s200", "s400")
    }
    assert 0.2 <= shares["s200"] < 0.4 <= shares["s400"]
