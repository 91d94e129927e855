"""Pruning as the recipe asks for it: from an ONNX file to integers, in a whole run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nibblefit.cli.summary import closing_lines, summary_of
from nibblefit.defaults.plan import plan, pruning
from nibblefit.errors import NibblefitError, RecipeError
from nibblefit.ir.ops import WEIGHTED
from nibblefit.nn.capture import capture
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.plan import Stage, Step
from nibblefit.recipe import ModelSection, PruneSection, Recipe, TargetSection
from nibblefit.recipe_file import override_recipe
from nibblefit.report.collect import contents_of
from nibblefit.runner import RunOutcome, load_recipe, run
from nibblefit.workspace import OpenRun, open_run

pytest.importorskip("lightning", reason="extra 'train' is not installed")

RECIPE = """\
[model]
source = "net.onnx"
[target]
name = "generic"
scales = "float"
[data]
source = "npz"
path = "data.npz"
[train]
epochs = 2
batch_size = 32
[train.recover]
epochs = 2
optimizer = "adamw"
weight_decay = 0.1
[prune]
sparsity = 0.6
layers = { head = 0.25, "stem" = 0.0 }
[quantize]
calibration_samples = 16
[run]
device = "cpu"
"""


@pytest.fixture(scope="module")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ONNX file (batch norm inside), a small data set and a recipe."""
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("prune")
    torch.manual_seed(1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 3, padding=1)
            self.body = nn.Conv2d(4, 6, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(6)
            self.head = nn.Linear(6 * 9, 3)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.norm(self.body(torch.relu(self.stem(x)))))
            return self.head(torch.flatten(nn.functional.max_pool2d(x, 2), 1))

    export_onnx(capture(Net().eval(), (1, 6, 6)), folder / "net.onnx")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    images = rng.integers(0, 90, (120, 6, 6))
    images[np.arange(120), labels * 2] += 120
    np.savez(folder / "data.npz", x=images.astype(np.uint8), y=labels)
    (folder / "r.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="module")
def done(problem: Path) -> RunOutcome:
    """One whole run of it."""
    return run(load_recipe(problem / "r.toml"), problem / "run")


def codes(opened: OpenRun) -> dict[str, np.ndarray]:
    """Return layer → weight codes less zero point of the integer graph."""
    graph = opened.graph()
    found = {}
    for node in graph.nodes:
        if node.op in WEIGHTED:
            fmt = graph.tensors[node.inputs[1]].format
            assert set(fmt.zero_point) == {0}
            found[node.name] = graph.constants[node.inputs[1]]
    return found


def test_zeros_hold_from_the_onnx_file_to_the_integers(problem: Path, done: RunOutcome) -> None:
    """Exact shares per layer; recovering moves the other weights only; folding keeps zeros."""
    opened = open_run(done.folder)
    pruned, recovered = opened.model("prune"), opened.model("recover")
    layers = {node.name: node.inputs[1] for node in pruned.graph.nodes if node.op in WEIGHTED}
    assert set(pruned.masks) == {layers["body"], layers["head"]}
    for layer, share in (("body", 0.6), ("head", 0.25)):
        name = layers[layer]
        mask = pruned.masks[name]
        assert (~mask).sum() == round(share * mask.size)
        for model in (pruned, recovered):
            assert np.array_equal(model.masks[name], mask)
            assert not model.graph.constants[name][~mask].any()
        moved = recovered.graph.constants[name] != pruned.graph.constants[name]
        assert moved[mask].mean() > 0.5
        assert not codes(opened)[layer][~mask].any()
    assert recovered.phase == "recover"
    assert np.count_nonzero(recovered.graph.constants[layers["stem"]]) == 36


def test_summary_and_report_show_the_sparsity(done: RunOutcome) -> None:
    """The pruned float network's share is exact; the table says it per layer."""
    opened = open_run(done.folder)
    report = opened.report("evaluate_pruned")
    zeros = round(0.6 * 216) + round(0.25 * 162)
    assert report.subject == "pruned model"
    assert report.metrics["sparsity"] == pytest.approx(zeros / (36 + 216 + 162))
    (table,) = (t for t in report.tables if t.title == "Pruned weights")
    assert ("body", 216, 130, 60.19) in table.rows
    assert "sparsity" not in opened.report("evaluate_float").metrics
    summary = summary_of(opened)
    integers = codes(opened)
    share = sum((v == 0).sum() for v in integers.values()) / sum(v.size for v in integers.values())
    assert summary.sparsity == pytest.approx(share)
    (line,) = (line for line in closing_lines(summary) if line.startswith("pruned"))
    assert line.startswith(f"pruned: {100 * share:.2f} % of the weights are zero")
    assert summary.metric == "top1"
    shown = {line.label: line.value for line in contents_of(opened).headlines}
    assert shown["Pruned"] == f"{100 * share:.2f} %"


def test_what_pruning_does_not_depend_on_is_kept(
    problem: Path, done: RunOutcome, tmp_path: Path
) -> None:
    """Quantization settings leave pruning and recovery alone; another share keeps float."""
    recipe = load_recipe(problem / "r.toml")
    folder = shutil.copytree(done.folder, tmp_path / "run")
    again = run(override_recipe(recipe, {"quantize.method": "minmax"}), folder)
    assert [s.name for s in again.steps if not s.reused][:2] == ["prepare", "quantize"]
    other = override_recipe(recipe, {"quantize.method": "minmax", "prune.sparsity": 0.5})
    again = run(other, folder, until="recover")
    assert [s.name for s in again.steps if not s.reused] == ["prune", "recover"]


@pytest.mark.slow
def test_an_interrupted_recovery_ends_in_the_same_weights(problem: Path, done: RunOutcome) -> None:
    """Masks come back with the checkpoint, also in two processes."""
    recipe = load_recipe(
        problem / "r.toml", {"train.recover.processes": 2, "train.float.epochs": 0}
    )
    whole = run(recipe, problem / "two", until="recover")

    class Stopping:
        """Says nothing, and stops the recovery after its first checkpoint."""

        def say(self, message: str) -> None: ...

        def warn(self, message: str) -> None: ...

        def progress(self, label: str, total: int | None) -> Any:
            return self

        def advance(self, amount: int = 1, **figures: float) -> None:
            if list((problem / "cut").rglob("epoch-*")):
                raise KeyboardInterrupt

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exc: object) -> None: ...

    with pytest.raises(NibblefitError, match="stopped during step 'recover'"):
        run(recipe, problem / "cut", until="recover", reporter=Stopping())
    resumed = run(recipe, problem / "cut", until="recover")
    assert resumed.digests == whole.digests


def test_names_that_match_no_layer_are_refused_before_training(problem: Path) -> None:
    """At prepare, with the closest layer."""
    recipe = load_recipe(problem / "r.toml", {"prune.layers": {"bdy": 0.5, "st?m": 0.1}})
    with pytest.raises(RecipeError, match=r"'bdy' matches no layer.*did you mean 'body'"):
        run(recipe, problem / "wrong")
    journal = (problem / "wrong" / "journal.jsonl").read_text().splitlines()
    assert not any(json.loads(line).get("step") == "float" for line in journal)


def test_the_steps_of_pruning_are_there_only_if_asked_for() -> None:
    """A share anywhere is enough; zeros everywhere are none."""
    base = Recipe(model=ModelSection(source="-"), target=TargetSection(name="generic"))
    assert pruning(base) == []
    assert not PruneSection(layers={"a": 0.0}).active
    asked = base.model_copy(update={"prune": PruneSection(layers={"a": 0.5})})
    stages = [item.stage for item in plan(asked) if isinstance(item, Step)]
    assert stages[3:6] == [Stage.PRUNE, Stage.TRAIN, Stage.EVALUATE]
    assert stages[6] is Stage.QUANTIZE
