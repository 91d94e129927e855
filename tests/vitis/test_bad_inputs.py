"""Awkward inputs through the command line: the right result, or one clear line and exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nibblefit.cli import main
from nibblefit.workspace import open_run
from nibblefit_vitis.xir.reading import read_xmodel

pytestmark = pytest.mark.extra("train")

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64, 3),
    )
"""
RECIPE = """
[model]
source = "{model}"
[target]
name = "vitis"
configuration = "{configuration}"
[data]
source = "npz"
path = "data.npz"
[train]
epochs = 1
batch_size = 8
[quantize]
calibration_samples = 16
[evaluate]
max_drop = 1.0
[run]
threads = 1
"""
#: What a user writes for codes without sign.
UNSIGNED = {
    "target_device": "CPU",
    "overall_quantize_config": {
        "method": "maxmin", "round_mode": "half_even", "scale_type": "float",
        "calib_statistic_method": "max",
    },
    "tensor_quantize_config": {"activation": {"signed": False}},
}  # fmt: skip


def pictures(count: int = 32) -> npt.NDArray[np.float32]:
    """Return seeded images."""
    return np.random.default_rng(0).random((count, 1, 8, 8)).astype(np.float32)


def carried_out(
    folder: Path, x: npt.NDArray[np.float32], *, model: str = "net.py:build",
    configuration: str | dict[str, Any] = "dpu",
) -> int:  # fmt: skip
    """Carry out a recipe on some images as the command does; return its exit code."""
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    y = np.arange(len(x)) % 3
    np.savez(folder / "data.npz", x_train=x, y_train=y, x_test=pictures(), y_test=np.arange(32) % 3)
    if not isinstance(configuration, str):
        (folder / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
        configuration = "config.json"
    text = RECIPE.format(model=model, configuration=configuration)
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return main(["run", str(folder / "recipe.toml"), "--folder", str(folder / "run")])


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what stands at the end: the error, and what to do."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert not any("Traceback" in line for line in lines)
    return lines[-2:]


@pytest.mark.parametrize("scale", [0.0, 1e-40], ids=["zero", "denormal"])
def test_pictures_without_content_run_through(scale: float, tmp_path: Path) -> None:
    """All-zero and denormal calibration data give finite formats, files and equal executions."""
    assert carried_out(tmp_path, pictures() * np.float32(scale)) == 0
    assert open_run(tmp_path / "run").artifact().files


def test_an_empty_set_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No training samples: usage error, with what to look at."""
    assert carried_out(tmp_path, pictures(0)) == 2
    what, hint = said(capsys)
    assert what.endswith("data.npz x_train holds no samples")
    assert "one sample or more" in hint


def test_not_a_number_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A NaN among the training images."""
    x = pictures()
    x[3, 0, 2, 2] = np.nan
    assert carried_out(tmp_path, x) == 2
    what, hint = said(capsys)
    assert "x_train holds NaN" in what
    assert "clean the data" in hint


def test_unsigned_codes_for_negative_values_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A leaky ReLU under an unsigned activation names the tensor and the key to change."""
    assert carried_out(tmp_path, pictures(), configuration=UNSIGNED) == 2
    what, hint = said(capsys)
    assert "negative values" in what
    assert '"signed": true' in hint


@pytest.mark.parametrize(("change", "key"), [
    ({"include_cle": "yes"}, "include_cle"),
    ({"overall_quantize_config": {"bit_width": "8"}}, "bit_width"),
    ({"overall_quantize_config": {"percentage": "99"}}, "percentage"),
    ({"layer_quantize_config": {"layer_type": "Conv2d"}}, "layer_quantize_config"),
])  # fmt: skip
def test_a_wrong_type_is_one_line(
    change: dict[str, Any], key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, line and key, before anything is trained."""
    found = carried_out(tmp_path, pictures(), configuration={"target_device": "DPU", **change})
    text = " ".join(said(capsys))
    assert (found, "config.json" in text, key in text) == (2, True, True), text


def exported(path: Path, *, batch: int) -> None:
    """Write an ONNX network of a fixed batch size, all of whose layers have one name."""
    random = np.random.default_rng(1)
    weights = {
        "w1": random.normal(0, 0.3, (4, 1, 3, 3)), "w2": random.normal(0, 0.3, (3, 4, 8, 8)),
        "b": np.zeros(3),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="layer", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="layer"),
        helper.make_node("Conv", ["r", "w2", "b"], ["c"], name="layer"),
        helper.make_node("Flatten", ["c"], ["y"], name="layer"),
    ]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.save(model, path)


def test_repeated_names_and_another_batch_size_run_through(tmp_path: Path) -> None:
    """Four layers called 'layer' at batch 4: told apart, and written for batch 1."""
    exported(tmp_path / "net.onnx", batch=4)
    assert carried_out(tmp_path, pictures(), model="net.onnx") == 0
    run = open_run(tmp_path / "run")
    (xmodel,) = (tmp_path / "run").rglob("*_int.xmodel")
    graph = read_xmodel(xmodel)
    assert {op.tensor.shape[0] for op in graph.operators if op.kind == "data"} == {1}
    assert len({op.name for op in graph.operators}) == len(graph.operators)
    assert run.artifact().notes["command"].count("'input_shape': '1,8,8,1'") == 1
