"""The script beside the models: any input type, any source of inputs, and clear refusals."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nibblefit_tidl.writing import run_model
from nibblefit_tidl.writing.current_files import script_text
from nibblefit_tidl.writing.run_model import COMPILER, CPU, RUNNER, StopError, main

pytest.importorskip("onnxruntime")

FLOAT, INT64, UINT8, INT32 = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8,
                              TensorProto.INT32)  # fmt: skip


def write_sum(path: Path, *kinds: int, shape: tuple[int | str, ...] = (1, 3, 4, 5)) -> Path:
    """Write a model that adds up all its inputs as floats."""
    nodes, terms = [], []
    for index, kind in enumerate(kinds):
        nodes.append(helper.make_node("Cast", [f"in{index}"], [f"f{index}"], to=FLOAT))
        assert kind
        terms.append(f"f{index}")
    nodes.append(helper.make_node("Sum", terms, ["out"]))
    inputs = [helper.make_tensor_value_info(f"in{i}", kind, shape) for i, kind in enumerate(kinds)]
    output = helper.make_tensor_value_info("out", FLOAT, shape)
    graph = helper.make_graph(nodes, "sum", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that the script takes for its own."""
    monkeypatch.setattr(run_model, "HERE", tmp_path)
    monkeypatch.delenv("TIDL_TOOLS_PATH", raising=False)
    return tmp_path


@pytest.mark.parametrize("kind", [FLOAT, INT64, UINT8, INT32, TensorProto.BOOL, TensorProto.INT8,
                                  TensorProto.FLOAT16])  # fmt: skip
def test_any_input_type_is_fed(home: Path, kind: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Random inputs have the model's type and shape, and do not depend on the day."""
    model = write_sum(home / "any.onnx", kind)
    outputs = []
    for name in ("a", "b"):
        words = ["run", str(model), "--seed", "5", "--frames", "3", "--save", str(home / name)]
        assert main(words) == 0
        outputs.append(np.load(home / f"{name}.npz")["out"])
    assert outputs[0].shape == (3, 1, 3, 4, 5)
    assert bool(np.all(outputs[0] == outputs[1]))
    assert len(np.unique(outputs[0])) > 1
    assert "3 inputs on CPUExecutionProvider" in capsys.readouterr().out


def test_several_inputs_and_open_axes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each input gets its own type; axes that the model leaves open are 1 or as asked."""
    model = str(write_sum(home / "two.onnx", FLOAT, INT64, UINT8, INT32, shape=("N", 2, "W")))
    assert main(["run", model, "--highest", "9"]) == 0
    seen = capsys.readouterr()
    assert "(1, 2, 1)" in seen.out
    assert "open axes are taken as 1" in seen.err
    shapes = [word for i in range(4) for word in ("--shape", f"in{i}=1,2,7")]
    assert main(["run", model, *shapes]) == 0
    assert "(1, 2, 7)" in capsys.readouterr().out


def test_calibration_frames_are_used_by_default(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model of the folder takes the list; floats are rounded for integer inputs."""
    write_sum(home / "float.onnx", FLOAT)
    write_sum(home / "bytes.onnx", UINT8)
    (home / "calibration").mkdir()
    frames = np.random.default_rng(0).uniform(-3, 300, (3, 60)).astype("<f4")
    for index, frame in enumerate(frames):
        (home / "calibration" / f"{index}.bin").write_bytes(frame.tobytes())
    (home / "calibration" / "list.txt").write_text("calibration/0.bin\ncalibration/1.bin\n\n")
    assert main(["run", "float", "--save", str(home / "f")]) == 0
    assert np.load(home / "f.npz")["out"].reshape(2, 60) == pytest.approx(frames[:2])
    options = {"advanced_options:calibration_frames": 1}
    (home / "bytes_options.json").write_text(json.dumps(options))
    assert main(["compile", "bytes", "--save", str(home / "u")]) == 0
    expected = np.clip(np.rint(frames[:1]), 0, 255)
    assert np.load(home / "u.npz")["out"].reshape(1, 60) == pytest.approx(expected)
    assert "no TIDLCompilationProvider" in capsys.readouterr().err


@pytest.mark.parametrize("layout", [(1, 3, 4, 5), (1, 4, 5, 3), (1, 1, 4, 5)])
@pytest.mark.parametrize("kind", [FLOAT, UINT8])
def test_pictures_are_resized_and_scaled(home: Path, layout: tuple[int, ...], kind: int) -> None:
    """A picture of one colour stays it; floats are scaled by pixels.json, integers are not."""
    image = pytest.importorskip("PIL.Image")
    write_sum(home / "net.onnx", kind, shape=layout)
    (home / "pixels.json").write_text('{"mean": [100], "scale": [0.5]}')
    pictures = home / "pictures"
    pictures.mkdir()
    image.new("RGB", (31, 17), (120, 120, 120)).save(pictures / "a.png")
    (pictures / "notes.txt").write_text("no picture")
    assert main(["run", "net", "--images", str(pictures), "--save", str(home / "o")]) == 0
    found = np.load(home / "o.npz")["out"]
    assert found.shape == (1, *layout)
    assert bool(np.all(found == (10.0 if kind == FLOAT else 120.0)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "none"], "there is no model"),
        (["run", "two", "--list", "list.txt"], "feed one input, the model has 2"),
        (["run", "net", "--list", "none.txt"], "there is no list"),
        (["run", "net", "--list", "empty.txt"], "list of inputs is empty"),
        (["run", "net", "--list", "lost.txt"], "does not exist"),
        (["run", "net", "--list", "list.txt"], "has 3 bytes; input 'in0'"),
        (["run", "net", "--images", "none"], "holds no pictures"),
        (["run", "flat", "--images", "."], "pictures need four axes"),
        (["run", "deep", "--images", "."], "channels; pictures have 1 or 3"),
        (["run", "net", "--shape", "in0=x"], "write NAME=1,3,224,224"),
        (["run", "net", "--options", "none.json"], "there is no file"),
        (["run", "net", "--options", "broken.json"], "not readable as JSON"),
    ],
)
def test_refusals_are_one_clear_line(
    home: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever is missing or wrong ends in a sentence and status 2."""
    monkeypatch.chdir(home)
    write_sum(home / "net.onnx", FLOAT)
    write_sum(home / "two.onnx", FLOAT, FLOAT)
    write_sum(home / "flat.onnx", FLOAT, shape=(1, 4))
    write_sum(home / "deep.onnx", FLOAT, shape=(1, 8, 4, 4))
    (home / "list.txt").write_text("short.bin")
    (home / "short.bin").write_bytes(b"abc")
    (home / "lost.txt").write_text("lost.bin")
    (home / "empty.txt").write_text("\n")
    (home / "broken.json").write_text("{")
    assert main(words) == 2
    assert message in capsys.readouterr().err


def arguments(action: str, **values: object) -> argparse.Namespace:
    """Return arguments as the script parses them."""
    return argparse.Namespace(**{"action": action, "cpu": False, "tools": None, **values})


def test_the_provider_is_chosen_and_its_folders_are_checked(home: Path) -> None:
    """With TI's onnxruntime: tools and an empty folder to compile, allowedNode.txt to run."""
    assert run_model.provider_of(arguments("compile"), [COMPILER, CPU]) == COMPILER
    assert run_model.provider_of(arguments("run"), [RUNNER, CPU]) == RUNNER
    assert run_model.provider_of(arguments("run", cpu=True), [RUNNER, CPU]) == CPU
    folder = home / "artifacts"
    with pytest.raises(StopError, match="TIDL_TOOLS_PATH"):
        run_model.prepared(COMPILER, {}, arguments("compile"), folder)
    tools = arguments("compile", tools=home)
    found = run_model.prepared(COMPILER, {"tensor_bits": 8}, tools, folder)
    assert found == {"tensor_bits": "8", "tidl_tools_path": str(home),
                     "artifacts_folder": str(folder)}  # fmt: skip
    with pytest.raises(StopError, match="has no allowedNode"):
        run_model.prepared(RUNNER, {}, tools, folder)
    (folder / "allowedNode.txt").touch()
    assert run_model.prepared(RUNNER, {}, tools, folder)["artifacts_folder"] == str(folder)
    with pytest.raises(StopError, match="is not empty"):
        run_model.prepared(COMPILER, {}, tools, folder)


def test_a_type_that_cannot_be_made_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Texts, for example, are named."""
    info = helper.make_tensor_value_info("in0", TensorProto.STRING, [1])
    node = helper.make_node("Identity", ["in0"], ["out"])
    out = helper.make_tensor_value_info("out", TensorProto.STRING, [1])
    model = helper.make_model(helper.make_graph([node], "text", [info], [out]),
                              opset_imports=[helper.make_opsetid("", 17)],
                              ir_version=8)  # fmt: skip
    onnx.save(model, home / "text.onnx")
    assert main(["run", "text"]) == 2
    assert "tensor(string), which this script cannot make" in capsys.readouterr().err


def test_the_script_stands_alone(tmp_path: Path) -> None:
    """A copy runs in a process of its own, without nibblefit on its path."""
    (tmp_path / "run_model.py").write_text(script_text())
    assert "nibblefit" not in script_text()
    write_sum(tmp_path / "net.onnx", UINT8)
    done = subprocess.run(
        [sys.executable, "-W", "error", "run_model.py", "run", "net", "--cpu"], cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "out: float32 (1, 3, 4, 5)" in done.stdout
    assert done.stderr == ""
