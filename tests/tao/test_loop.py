"""The whole loop on a small network: train, prune, retrain, accept, quantize."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nibblefit import open_run
from nibblefit.cli.summary import summary_of
from nibblefit.errors import LimitError, RecipeError
from nibblefit.nn.network import Network
from nibblefit.recipe_file import read_recipe
from nibblefit.report.collect import contents_of
from nibblefit.report.searches import search_tables
from nibblefit.results import Status
from nibblefit.runner import run
from nibblefit_tao.logs.status import read_status
from nibblefit_tao.logs.training_log import read_log
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
    told = summary_of(opened).trainings
    assert [line.partition(" of ")[0] for line in told] == [
        f"{step}: kept epoch {opened.model(step).extra['kept_epoch']['epoch']}"
        for step in ("train", "retrain@r400")
    ]
    notes = [training.note for training in contents_of(opened).trainings]
    assert list(told) == [
        f"{step}: {note}" for step, note in zip(("train", "retrain@r400"), notes, strict=True)
    ]
    for step, epochs in (("train", 2), ("retrain", 1)):
        left = opened.folder(step)
        assert len(read_log(left / "training_log.csv")) == epochs
        assert read_status(left / "status.json")[-1]["status"] == "SUCCESS"
    assert read_status(folder / "status.json")[-2]["kpi"]["pruning_ratio"] <= 0.4
    ended = read_status(opened.folder("evaluate") / "status.json")[-1]
    assert ended["message"] == "Evaluation finished successfully."
    assert not (opened.folder("compile") / "status.json").exists()


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


@pytest.mark.extra("train")
def test_another_ratio_reuses_the_training(tmp_path: Path) -> None:
    """Other ratios, thresholds and excluded layers prune anew; a table tells all candidates."""
    go(tmp_path, target__ratios=[0.4], evaluate__max_drop=1.0)
    outcome = run(
        read_recipe(EXAMPLE, {**QUICK, "target.ratios": [0.001, 0.6, 0.9], "evaluate.max_drop": 1.0,
                              "target.excluded_layers": ["stem"]}),
        tmp_path,
    )  # fmt: skip
    anew = [record.name for record in outcome.steps if not record.reused]
    assert anew == [
        "prepare", "prune@r600", "evaluate_prune@r600", "retrain@r600", "evaluate_retrain@r600",
        "quantize", "compile", "evaluate",
    ]  # fmt: skip
    (table,) = search_tables(open_run(tmp_path))
    assert [row[0] for row in table.rows] == ["r001", "r600", "r900"]
    assert str(table.rows[0][2]).startswith("out: no threshold prunes that far")
    assert [row[2] for row in table.rows[1:]] == ["wins", "not needed"]
    assert table.rows[1][1] == "target.ratio = 0.6"


@pytest.mark.extra("train")
def test_a_threshold_that_cannot_be_carried_out_is_out_of_the_race(tmp_path: Path) -> None:
    """Above every score, it would empty all layers: told in the table, and not tried again."""
    changes = {**QUICK, "target.ratios": [], "target.thresholds": [0.3, 1.5],
               "evaluate.max_drop": 1.0}  # fmt: skip
    for _ in range(2):
        outcome = run(read_recipe(EXAMPLE, changes), tmp_path)
        assert [search.winner for search in outcome.searches] == ["t300"]
        (table,) = search_tables(open_run(tmp_path))
        assert table.rows[0][0] == "t1500"
        assert str(table.rows[0][2]).startswith("out: threshold 1.5 would empty every layer")
    journal = open_run(tmp_path).journal()
    assert sum(e["event"] == "started" and e["step"] == "prune@t1500" for e in journal) == 1
    with pytest.raises(LimitError, match=r"no candidate(.|\n)*• t1500: threshold 1.5 would empty"):
        run(read_recipe(EXAMPLE, {**changes, "target.thresholds": [1.5]}), tmp_path)


@pytest.mark.extra("train")
@pytest.mark.parametrize("key", ["excluded_layers", "layer_thresholds"])
def test_a_layer_that_does_not_exist_is_refused_before_training(tmp_path: Path, key: str) -> None:
    """It takes a second to find out, not a training."""
    value = {"steam": 0.3} if key == "layer_thresholds" else ["steam"]
    with pytest.raises(RecipeError, match="'steam' matches no layer; did you mean 'stem'"):
        go(tmp_path, **{f"target__{key}": value})
    assert not list((tmp_path / "stages").glob("02*"))


def test_settings_without_effect_are_told() -> None:
    """One warning each, with the key."""
    changes = {
        "target.qat": True, "calibration.path": "pictures", "target.regularizer_weight": 0.0,
        "target.ratios": [], "target.ratio": 0.3, "target.regularizer": "L2",
    }  # fmt: skip
    found = TARGET.recipe_problems(read_recipe(EXAMPLE, changes))
    assert [one.where for one in found] == [
        "calibration.path", "quantize.method", "target.regularizer"
    ]  # fmt: skip
    changes = {"target.prune": False, "target.qat_relu6": True, "target.ratios": [0.3]}
    found = TARGET.recipe_problems(read_recipe(EXAMPLE, changes))
    assert [one.where for one in found] == [
        "target.qat_relu6", "target.ratios", "target.pruning_granularity", "target.min_num_filters",
    ]  # fmt: skip
    assert {one.status for one in found} == {Status.WARNING}
    assert TARGET.recipe_problems(read_recipe(EXAMPLE)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target.ratio": 0.5, "target.threshold": 0.2}, "ratio and threshold contradict"),
        ({"target.thresholds": [0.2]}, "ratios or thresholds, not both"),
        ({"target.threshold": 0.2}, "ratios and threshold contradict"),
        ({"target.macs": 1000}, "ratios and macs contradict"),
        ({"target.ratio": 0.3}, "ratios and ratio contradict"),
        ({"target.normalizer": "max2"}, "normalizer"),
        ({"target.ratio": 1.0}, "ratio"),
    ],
)
def test_contradicting_options_are_refused(changes: dict[str, object], words: str) -> None:
    """One line for each, before anything runs."""
    from nibblefit.recipe_file import target_options

    with pytest.raises(RecipeError, match=words):
        target_options(read_recipe(EXAMPLE, changes), TARGET.info)


@pytest.mark.slow
@pytest.mark.extra("train")
def test_the_example_holds_its_gates_as_shipped(tmp_path: Path) -> None:
    """A quarter of the parameters is left, and neither retraining nor INT8 loses two points."""
    outcome = run(read_recipe(EXAMPLE), tmp_path)
    assert outcome.complete
    assert [search.winner for search in outcome.searches] == ["r250"]
    assert all(gate.holds for gate in outcome.gates)
