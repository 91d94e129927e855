"""Sources as the recipe names them: seeded network, device, data and task made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.pipeline.toys import Toy, quantized, toy_info, toy_recipe

from nibblefit.errors import InputError, PluginError, UnsupportedError
from nibblefit.ir.store import digest
from nibblefit.plugins import plugin_of
from nibblefit.recipe import Recipe
from nibblefit.results import Artifact, ArtifactFile
from nibblefit.runner import RecipeSources, SilentReporter
from nibblefit.runner.artifact import check_files, check_read_back, sample_inputs


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Return a recipe with a network and an npz data set beside it."""
    (tmp_path / "net.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Linear(4, 3)\n"
    )
    found = toy_recipe(model__input_shape=[4])
    return found.model_copy(update={"folder": str(tmp_path)})


def test_the_network_follows_the_seed(recipe: Recipe) -> None:
    """Random weights are the recipe's, and the caller's random state is left alone."""
    import torch

    before = torch.random.get_rng_state()
    first = RecipeSources().network(recipe, toy_info())
    assert digest(first) == digest(RecipeSources().network(recipe, toy_info()))
    other = recipe.model_copy(update={"run": recipe.run.model_copy(update={"seed": 2})})
    assert digest(first) != digest(RecipeSources().network(other, toy_info()))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_device_is_what_there_is(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Auto takes a GPU if there is one; asking for a missing one is explained."""
    import torch

    def on(device: str, threads: int = 0) -> Recipe:
        run = recipe.run.model_copy(update={"device": device, "threads": threads})
        return recipe.model_copy(update={"run": run})

    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert RecipeSources().device(on("auto", 3)) == "cpu"
    assert used == [3]
    with pytest.raises(InputError, match="finds no GPU"):
        RecipeSources().device(on("cuda"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert RecipeSources().device(on("auto")) == "cuda"
    assert RecipeSources().device(on("cpu")) == "cpu"


def test_data_and_task_are_made_once(recipe: Recipe) -> None:
    """Steps share them; the target's range is asked for."""
    pytest.importorskip("sklearn")
    digits = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": "digits"})})
    sources = RecipeSources()
    info = toy_info(input_range=(-1.0, 1.0))
    data: Any = sources.data(digits, info)
    assert sources.data(digits, info) is data
    assert sources.task(digits, info) is sources.task(digits, info)
    assert sources.task(digits, info).metric == "top1"
    from nibblefit.data.source import Split

    batch, _ = data.batch(Split.TRAIN, 0, 50)
    assert batch.min() == -1.0


def test_an_artifact_lists_what_lies_in_its_folder(tmp_path: Path) -> None:
    """Missing files and paths that lead outside are refused."""
    from pathlib import PurePosixPath

    for path in ("missing", "../outside"):
        (tmp_path.parent / "outside").write_text("x")
        artifact = Artifact("toy", "", "", (ArtifactFile("a", PurePosixPath(path), ""),))
        with pytest.raises(PluginError, match="not in the step's folder"):
            check_files(artifact, tmp_path, "toy")


def test_sampled_inputs_reach_both_ends() -> None:
    """The extremes and random codes, the same for the same seed."""
    graph = quantized(np.zeros((3, 4)))
    codes = sample_inputs(graph, 3)["x"]
    assert codes.shape == (6, 4)
    assert set(codes[0]) == {-128}
    assert set(codes[1]) == {127}
    assert np.array_equal(codes, sample_inputs(graph, 3)["x"])


def test_equal_graphs_need_no_execution() -> None:
    """A graph that reads back as itself is proven by its digest."""
    graph = quantized(np.zeros((3, 4)))
    check_read_back(graph, graph, "toy", 1)


def test_the_silent_reporter_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs started from Python are quiet."""
    reporter = SilentReporter()
    reporter.say("a")
    reporter.warn("b")
    with reporter.progress("c", 3) as bar:
        bar.advance(2, loss=0.1)
    assert capsys.readouterr() == ("", "")
    assert plugin_of(Toy()).origin == "tests"


def test_a_network_of_several_inputs_is_refused(recipe: Recipe) -> None:
    """Data sets give one array per sample; the inputs are named, with what to do."""
    from nibblefit.ir.graph import Graph, Node, frozen_mapping
    from nibblefit.ir.ops import Op
    from nibblefit.nn.onnx_export import export_onnx

    shapes = frozen_mapping({"left": (4,), "right": (4,), "sum": (4,)})
    node = Node("sum", Op.ADD, ("left", "right"), ("sum",))
    graph = Graph("two", ("left", "right"), ("sum",), (node,), shapes, frozen_mapping({}))
    export_onnx(graph, Path(recipe.folder) / "two.onnx")
    model = recipe.model.model_copy(update={"source": "two.onnx", "input_shape": ()})
    with pytest.raises(UnsupportedError, match=r"2 inputs \(left, right\).*(?s:.*)slice"):
        RecipeSources().network(recipe.model_copy(update={"model": model}), toy_info())
