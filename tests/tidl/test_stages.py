"""The three-stage training as a run: gates between the stages, the search, zeros to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benchmarks.maxim_accuracy import LimitMissedError
from benchmarks.tidl_stages import StageRow, check_rows, mean_rows, stage_grid, stage_rows

from nibblefit.errors import LimitError
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.plan import Candidates, Gate, Step
from nibblefit.recipe import Recipe
from nibblefit.results import Report, Table
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
    _check_integers(opened.report("evaluate"), graph, table)
    rows = stage_rows(tmp_path / "run", "top1")
    assert list(rows) == ["L2", "sparse", "sparse + 8 bit"]  # this plan has no L1 stage
    assert rows["L2"].by_weights == 0.0
    assert rows["sparse"].by_weights == share
    assert rows["sparse + 8 bit"].metric == opened.report("evaluate").metrics["top1"]
    assert rows["sparse"].seconds >= opened.manifest("sparse").seconds
    history = opened.model("sparse").history
    assert history[-1]["sparsity"] == pytest.approx(share)


def _check_integers(report: Report, graph: QuantizedGraph, floating: Table) -> None:
    """Check the zeros of the integers against codes counted by hand, layer by layer."""
    (table,) = [one for one in report.tables if one.title == "Sparsity"]
    counted, macs = [], []
    for name, *_ in table.rows:
        weights = graph.node(name).inputs[1]
        (point,) = set(graph.tensors[weights].format.zero_point)
        codes = graph.constants[weights]
        counted.append((int((codes == point).sum()), codes.size))
        pixels = graph.tensors[graph.node(name).output].shape
        macs.append(pixels[1] * pixels[2] * codes.size)
    assert [(row[2], row[1]) for row in table.rows] == counted
    # Rounding adds zeros, it takes none away; the reasons are those of the float network.
    assert all(row[2] >= old[2] for row, old in zip(table.rows, floating.rows, strict=True))
    assert [row[4] for row in table.rows] == [row[4] for row in floating.rows]
    shares = [zeros / size for zeros, size in counted]
    found = [report.metrics[f"sparsity_{way}"] for way in ("of_convolutions", "layer_mean",
                                                           "by_macs")]  # fmt: skip
    assert found == pytest.approx([
        sum(zeros for zeros, _ in counted) / sum(size for _, size in counted),
        sum(shares) / len(shares),
        sum(share * count for share, count in zip(shares, macs, strict=True)) / sum(macs),
    ])  # fmt: skip


ROWS = {
    "L2": StageRow(0.9, 0.0, 0.0, 0.0, 10.0), "sparse": StageRow(0.89, 0.8, 0.5, 0.75, 20.0),
}  # fmt: skip


def test_stages_of_several_runs_are_one_table() -> None:
    """Means of seeds, drops against the first row, percent with two decimals."""
    other = {
        "L2": StageRow(0.92, 0.0, 0.0, 0.0, 12.0),
        "sparse": StageRow(0.93, 0.9, 0.5, 0.5, 1.0),
    }
    grid = stage_grid("t", "top-1", mean_rows([ROWS, other]))
    assert grid.columns[:3] == ("stage", "top-1", "drop (points)")
    assert grid.rows == [
        ["L2", "91.00 %", "0.00", "0.00 %", "0.00 %", "0.00 %", "11 s"],
        ["sparse", "91.00 %", "0.00", "85.00 %", "50.00 %", "62.50 %", "10 s"],
    ]


@pytest.mark.parametrize(
    "limits",
    [
        {"floor": 0.91, "drop": 0.02, "zeros": 0.8}, {"floor": 0.9, "drop": 0.009, "zeros": 0.8},
        {"floor": 0.9, "drop": 0.02, "zeros": 0.81},
    ],
)  # fmt: skip
def test_results_below_what_is_required_fail(limits: dict[str, float]) -> None:
    """Floor, drop and zeros each stop the measurement; at the limits it passes."""
    check_rows("n", ROWS, floor=0.9, drop=0.0101, zeros=0.8)
    with pytest.raises(LimitMissedError):
        check_rows("n", ROWS, **limits)


def test_a_missed_floor_stops_the_run(tmp_path: Path) -> None:
    """The first stage below its floor: nothing after it runs, and the advice says what to do."""
    recipe = _recipe(tmp_path, evaluate={"floor": 0.999},
                     train={"epochs": 1, "learning_rate": 1e-6})  # fmt: skip
    with pytest.raises(LimitError, match="floor") as caught:
        run(recipe, tmp_path / "run")
    assert "later stages gain no accuracy" in str(caught.value.hint)
    assert not list((tmp_path / "run").rglob("*l1*"))


@pytest.mark.parametrize("name", ["tidl-classic", "tidl"])
def test_a_target_out_of_reach_is_said_before_training(tmp_path: Path, name: str) -> None:
    """The vendor's ramp in a short stage: a warning of the first step; what it says costs nothing.

    A stage that is long enough, and a dense network, have none. Nothing trained is lost when the
    stage changes.
    """
    ramp = {"sparsity": {"target": 0.4, "start_iter": 20, "step_iter": 10, "step_factor": 0.02}}
    train = {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64}

    def warned(folder: str, target: dict[str, Any], until: str = "prepare", **steps: Any) -> str:
        recipe = _recipe(tmp_path, {"name": name, "sparsify": True, **target}, train=train,
                         train_steps=steps)  # fmt: skip
        outcome = run(recipe, tmp_path / folder, until=until)
        reused.append([step.name for step in outcome.steps if step.reused])
        events = open_run(tmp_path / folder).journal()
        return " ".join(str(event) for event in events if event["event"] == "warning")

    reused: list[list[str]] = []
    said = warned("a", ramp, "initial")
    assert "the sparse stage has 21 iterations" in said
    assert "ends at 0.0% instead of 40.0%" in said
    assert warned("b", ramp, sparse={"epochs": 12}) == ""
    assert warned("c", {**ramp, "sparsify": False}) == ""
    warned("a", {"sparsity": {"target": 0.3}}, "initial")
    assert "initial" in reused[-1]


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
