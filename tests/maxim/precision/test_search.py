"""The search as a step of a run: budget, record, resuming, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.maxim.networks import captured
from tests.maxim.qat.runs import carried_out, decisions, recipe
from torch import nn

from nibblefit.conformance.bench import Bench
from nibblefit.data.source import Split
from nibblefit.errors import InterruptedRunError, LimitError, RecipeError
from nibblefit.plan import Stage
from nibblefit.report.collect import contents_of
from nibblefit.training import evaluation, fit
from nibblefit.workspace.opened import open_run
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.options import SearchOptions
from nibblefit_maxim.parts import MAX78000
from nibblefit_maxim.precision.record import Candidate, SearchRecord, name_of
from nibblefit_maxim.precision.search import RECORD, check_memory, with_widths
from nibblefit_maxim.preparation import narrowest, prepare_model
from nibblefit_maxim.qat.start import Decisions, found_bits
from nibblefit_maxim.settings import LayerSettings

STEPS = {"float": {"epochs": 6}, "qat": {"epochs": 1}}


def test_search_narrows_within_the_budget_and_records_everything(tmp_path: Path) -> None:
    """Fewer bits than at the start, no accepted candidate below the budget, widths kept in QAT."""
    options = {"search": {"bits": [8, 4, 2], "max_drop": 0.03}}
    made = recipe(options, steps=STEPS, layers={"13": {"weight_bits": 8}}, batch_size=32)
    opened = carried_out(made, tmp_path / "run")
    facts = json.loads((opened.folder("search") / RECORD).read_text())
    widths = found_bits(opened.model("search"))
    assert facts["widths"] == widths
    assert "13" not in widths
    assert facts["weight_bytes"] < facts["weight_bytes_at_widest"]
    accepted = [one for one in facts["candidates"] if one["accepted"]]
    assert all(one["metric"] >= facts["start"] - 0.03 for one in accepted)
    assert accepted[-1]["name"] == name_of(widths)
    assert min(one["weight_bits"] for one in accepted) == accepted[-1]["weight_bits"]
    whys = [one["why"] for one in facts["candidates"]]
    assert whys.count("sensitivity") == 2 * len(widths)
    used = decisions(opened.model("qat")).settings
    assert {name: used[name].weight_bits for name in widths} == widths
    assert used["13"].weight_bits == 8
    metadata: Any = opened.graph("quantize").metadata["weight_bits"]
    assert {name: metadata[name] for name in widths} == widths
    assert not opened.report("evaluate").failed
    shown = [table for _, table in contents_of(opened).tables if table.title.startswith("Search")]
    assert len(shown) == 1
    assert [row[0] for row in shown[0].rows] == [one["name"] for one in facts["candidates"]]


def test_candidates_can_be_trained_before_they_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With epochs per candidate the start and every step down are trained, sensitivities not.

    They train as QAT does, at 0.3 times the float training's rate.
    """
    rates, original = set(), fit.fit

    def noting(run: Any, network: Any, task: Any, data: Any, settings: Any, *rest: Any) -> Any:
        rates.add(settings.learning_rate)
        return original(run, network, task, data, settings, *rest)

    options = {"search": {"bits": [8, 2], "max_drop": 0.05, "epochs": 1}}
    layers = {"[037]": {"weight_bits": 8}}
    made = recipe(options, steps={"float": {"epochs": 3}}, layers=layers)
    carried_out(made, tmp_path / "run", until="float")
    monkeypatch.setattr(fit, "fit", noting)
    opened = carried_out(made, tmp_path / "run", until="search")
    assert list(rates) == pytest.approx([0.3 * made.train.learning_rate])
    facts = json.loads((opened.folder("search") / RECORD).read_text())
    epochs = {one["why"]: one["epochs"] for one in facts["candidates"]}
    assert epochs == {"start": 1, "sensitivity": 0, "descent": 1}


def test_interrupted_search_measures_nothing_twice(tmp_path: Path) -> None:
    """A record is taken up if it belongs to the same search, and only then."""
    file = tmp_path / "record.json"
    record = SearchRecord(file, "key")
    record.add(Candidate("8-4", "sensitivity", "b", 4, 0.75, 100))
    again = SearchRecord(file, "key")
    assert again.resumed == 1
    assert again.metric("8-4", 0) == 0.75
    assert again.metric("8-4", 1) is None
    assert again.candidates == []
    assert SearchRecord(file, "other").resumed == 0


def test_search_needs_something_to_narrow(tmp_path: Path) -> None:
    """Widths that the recipe sets are not searched."""
    made = recipe({"search": {}}, steps={"float": {"epochs": 1}}, layers={"*": {"weight_bits": 8}})
    with pytest.raises(RecipeError, match="no layer to narrow"):
        carried_out(made, tmp_path / "run", until="search")


def test_search_needs_validation_samples(tmp_path: Path) -> None:
    """Training samples would flatter narrow weights."""
    made = recipe({"search": {}}, epochs=1)
    made = made.model_copy(update={"data": made.data.model_copy(update={"validation": 0.0})})
    with pytest.raises(RecipeError, match="needs validation samples"):
        carried_out(made, tmp_path / "run", until="search")


def test_network_too_large_for_8_bits_is_prepared_if_a_search_may_narrow_it() -> None:
    """Before training the narrowest allowed weights count, except where the width is fixed."""
    bench = Bench("maxim")
    large = nn.Sequential(nn.Conv2d(64, 512, 3, padding=1), nn.ReLU(), nn.Conv2d(512, 64, 3),
                          nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 4))  # fmt: skip
    graph = captured(large, (64, 6, 6))
    run = bench.run_for(bench.cases[0], Stage.PREPARE)
    with pytest.raises(LimitError, match="weights need"):
        prepare_model(run, graph)
    searching = replace(run, options=run.options.model_copy(update={"search": SearchOptions()}))
    assert prepare_model(searching, graph).graph is graph
    bench.close()
    found = narrowest(
        {"a": LayerSettings(8), "b": LayerSettings(8)}, SearchOptions(), {"b": {"weight_bits": 8}}
    )
    assert found == {"a": LayerSettings(1), "b": LayerSettings(8)}
    assert with_widths(found, {"a": 4}, SearchOptions())["a"] == LayerSettings(4)


def test_killed_search_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill in the middle, candidates measured before are not measured again."""
    made = recipe({"search": {"bits": [8, 4]}}, steps={"float": {"epochs": 2}}, batch_size=32)
    whole = carried_out(made, tmp_path / "whole", until="search")
    measured: list[str] = []
    original = evaluation.evaluate_float

    def counting(*arguments: Any, **more: Any) -> Any:
        if arguments[3] is Split.VALIDATION:
            measured.append("one")
            if len(measured) == 4:
                raise KeyboardInterrupt
        return original(*arguments, **more)

    monkeypatch.setattr(evaluation, "evaluate_float", counting)
    with pytest.raises(InterruptedRunError):
        carried_out(made, tmp_path / "killed", until="search")
    carried_out(made, tmp_path / "killed", until="search")
    record = json.loads((whole.folder("search") / RECORD).read_text())
    different = {(one["name"], one["epochs"]) for one in record["candidates"]}
    # The fourth measurement was killed, so it happens twice.
    assert len(measured) == len(different) + 1
    again = open_run(tmp_path / "killed")
    assert found_bits(again.model("search")) == found_bits(whole.model("search"))


def test_weights_that_stay_too_large_stop_the_run() -> None:
    """The refusal says what is short and what would help."""
    bench = Bench("maxim")
    large = nn.Sequential(nn.Conv2d(64, 1024, 3, padding=1), nn.ReLU(), nn.Conv2d(1024, 4, 1))
    graph = captured(large, (64, 4, 4))
    run = bench.run_for(bench.cases[0], Stage.TRAIN)
    fused = fuse(graph, MAX78000)
    chosen = Decisions({x.name: LayerSettings(8) for x in fused.layers}, {})
    with pytest.raises(LimitError, match=r"within target\.search\.max_drop do not fit"):
        check_memory(run, fused, chosen, {fused.layers[0].name: 8})
    bench.close()
