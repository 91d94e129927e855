"""Whole runs on pixels: judged against simulation, read back, triaged; and the folder's script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from tests.tidl.writing.test_run_model import write_sum

from nibblefit.errors import UnsupportedError
from nibblefit.recipe import Recipe
from nibblefit.results import Status
from nibblefit.runner import run
from nibblefit.workspace import open_run
from nibblefit_tidl.front.pixels import PixelSource
from nibblefit_tidl.triage.differences import layer_errors
from nibblefit_tidl.triage.layers import layers_of
from nibblefit_tidl.triage.opening import open_subject
from nibblefit_tidl.writing import run_model
from nibblefit_tidl.writing.run_model import main

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding={pad}), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10),
    )
"""


def recipe(folder: Path, pad: int, **target: Any) -> Recipe:
    """Return a recipe over the handwritten digits, normalized by mean and std."""
    (folder / "net.py").write_text(NETWORK.format(pad=pad), encoding="utf-8")
    if target["name"] == "tidl":
        target["calibration_iterations"] = 1
    return Recipe.model_validate({
        "model": {"source": "net.py:build"},
        "target": {"sparsify": False, **target},
        "data": {"source": "digits", "mean": [0.5], "std": [0.25]},
        "train": {"epochs": 2, "learning_rate": 0.01},
        "train_steps": {"qat": {"epochs": 1, "optimizer": "sgd"}} if target.get("qat") else {},
        "quantize": {"calibration_samples": 32},
        "evaluate": {"samples": 60, "judge_samples": 16, "batch_size": 16, "max_drop": 1.0},
        "run": {"threads": 1},
        "folder": str(folder),
    })  # fmt: skip


@pytest.mark.extra("train")
@pytest.mark.parametrize(
    ("pad", "target"),
    [
        (0, {"name": "tidl", "part": "am68a", "front": "folded"}),
        (0, {"name": "tidl", "part": "tda4vm", "front": "folded", "qat": True}),
        (1, {"name": "tidl", "part": "tda4vm", "front": "folded", "front_border": "pad"}),
        (1, {"name": "tidl", "part": "am68a", "front": "layers"}),
        (1, {"name": "tidl-classic", "front": "layers"}),
    ],
)
def test_a_run_ends_in_files_that_take_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pad: int, target: dict[str, Any]
) -> None:
    """All integers agree with judge and simulation; files, script and triage take pixels."""
    run(recipe(tmp_path, pad, **target), tmp_path / "run")
    opened = open_run(tmp_path / "run")
    report = opened.report("evaluate")
    exact = {one.rule: one.status for one in report.findings if one.rule.startswith("exact")}
    assert exact == {"exact.engine": Status.PASSED, "exact.simulation": Status.PASSED}
    assert [one.title for one in report.tables].count(
        "Cost of normalizing one frame (estimated)") == 1  # fmt: skip
    inside = target["name"] == "tidl-classic" or target["front"] == "folded"
    subject = open_subject(tmp_path / "run")
    assert isinstance(subject.run.data, PixelSource) == inside
    graph = subject.graph
    form = graph.tensors[graph.inputs[0]].format
    assert (float(form.scale.values()[0]) == 1.0) == inside
    frames = subject.run.data.batch("test", 0, 4)[0]
    errors = layer_errors(
        subject.folded, graph, layers_of(subject.folded, classic=subject.classic), [frames]
    )
    assert min(error.decibels for error in errors) > 5
    if target["name"] == "tidl":
        pytest.importorskip("onnxruntime")
        (script,) = (tmp_path / "run").rglob("run_model.py")
        monkeypatch.setattr(run_model, "HERE", script.parent)
        for model in script.parent.glob("*.onnx"):
            if model.stem != "float_trained":  # that one is the importer's
                assert main(["run", model.stem, "--cpu", "--frames", "2"]) == 0


def test_what_cannot_be_folded_stops_before_training(tmp_path: Path) -> None:
    """The first step refuses it; nothing was trained."""
    with pytest.raises(UnsupportedError, match="it pads with zeros"):
        run(recipe(tmp_path, 1, name="tidl", front="folded"), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*initial*"))


def test_the_script_undoes_normalizing_for_integer_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Normalized frames become the pixels they were; without pixels.json they are rounded."""
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(run_model, "HERE", tmp_path)
    model = str(write_sum(tmp_path / "bytes.onnx", TensorProto.UINT8, shape=(1, 3, 4, 5)))
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 5))
    mean, scale = [120.0, 110.0, 100.0], [1 / 64, 1 / 32, 1 / 128]
    shape = (1, 3, 1, 1)
    real = (pixels - np.reshape(mean, shape)) * np.reshape(scale, shape)
    (tmp_path / "frame.bin").write_bytes(real.astype("<f4").tobytes())
    (tmp_path / "list.txt").write_text("frame.bin\n")
    words = ["run", model, "--list", str(tmp_path / "list.txt"), "--save", str(tmp_path / "o")]
    assert main(words) == 0
    rounded = np.load(tmp_path / "o.npz")["out"][0]
    assert np.array_equal(rounded, np.clip(np.rint(real.astype("f4")), 0, 255))
    scaling = tmp_path / "pixels.json"
    scaling.write_text(json.dumps({"mean": mean, "scale": scale}))
    assert main(words) == 0
    assert np.array_equal(np.load(tmp_path / "o.npz")["out"][0], pixels)
    scaling.write_text("{}")
    assert main(words) == 2
    assert "does not hold mean and scale" in capsys.readouterr().err
