"""The recipe's [model] section: factories, state dicts, and files that are refused unread."""

from __future__ import annotations

import json
import pickle
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nibblefit.errors import InputError, NibblefitError
from nibblefit.nn.load import load_source
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.nn.sources.state_dicts import read_state_dict
from nibblefit.recipe import ModelSection

NET = """
from torch import nn
from neighbour import CLASSES

def build(width=4, classes=CLASSES):
    head = nn.Linear(width * 36, classes)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), head)

class Direct(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 2)
    def forward(self, x):
        return self.fc(x)

def failing():
    raise RuntimeError("no data here")

def nothing():
    return None

finished = build()
constant = 3
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a network file and a file it imports."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "neighbour.py").write_text("CLASSES = 5\n")
    (tmp_path / "broken.py").write_text("import torch\nraise ValueError('half written')\n")
    return tmp_path


def load(folder: Path, source: str, shape=(1, 8, 8), **section):
    """Load a source as the pipeline does."""
    return load_source(ModelSection(source=source, **section), folder, shape)


def test_factory_in_a_file_is_called_with_arguments(folder):
    """Relative paths, neighbours and arguments work; the graph is named after the file."""
    graph = load(folder, "net.py:build", arguments={"width": 6})
    assert graph.name == "net"
    assert graph.constants["0.weight"].shape == (6, 1, 3, 3)
    assert graph.shapes[graph.outputs[0]] == (5,)


def test_class_is_a_factory(folder):
    """A module class without arguments needs no function around it; its input shape is stated."""
    graph = load(folder, "net.py:Direct", input_shape=(8,))
    assert graph.name == "Direct"
    assert graph.shapes["x"] == (8,)


def test_factory_in_a_package(folder):
    """Installed packages and modules beside the recipe are imported by name."""
    assert load(folder, "torch.nn:ReLU").nodes[0].op == "relu"
    assert load(folder, "net:build").nodes


MISTAKES = {
    "no factory": ("net.py", {}, ["names no factory"]),
    "missing file": ("nett.py:build", {}, ["nett.py", "did you mean 'net.py'"]),
    "missing factory": ("net.py:biuld", {}, ["'biuld'", "did you mean 'build'"]),
    "not callable": ("net.py:constant", {}, ["no callable factory"]),
    "finished module": ("net.py:finished", {}, ["finished module", "def build()"]),
    "failing factory": ("net.py:failing", {}, ["RuntimeError", "no data here", "net.py, line"]),
    "returns nothing": ("net.py:nothing", {}, ["NoneType", "return network"]),
    "failing import": ("broken.py:build", {}, ["ValueError", "half written", "line 2"]),
    "unknown argument": ("net.py:build", {"widht": 3}, ["widht", "did you mean 'width'"]),
    "missing package": ("no_such_package.net:build", {}, ["not installed"]),
    "missing onnx": ("absent.onnx", {}, ["does not exist"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_explained(name, folder):
    """Every mistake in a source ends in one explained error."""
    source, arguments, words = MISTAKES[name]
    with pytest.raises(InputError) as caught:
        load(folder, source, arguments=arguments)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_unknown_input_shape_is_asked_for(folder):
    """Without data set and input_shape the recipe key is named."""
    with pytest.raises(InputError, match="input_shape"):
        load(folder, "net.py:build", shape=())


def state():
    """Return a state dict that fits net.py:build."""
    torch.manual_seed(4)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    ).state_dict()


def as_safetensors(values) -> bytes:
    """Write the format by hand, as its description says."""
    header, numbers = {"__metadata__": {"format": "pt"}}, b""
    for name, value in values.items():
        data = value.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [len(numbers), len(numbers) + len(data)]}  # fmt: skip
        numbers += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def save_as(path: Path, values):
    """Write a state dict in the format of the file's ending."""
    match path.suffix:
        case ".npz":
            np.savez(path, **{name: value.numpy() for name, value in values.items()})
        case ".safetensors":
            path.write_bytes(as_safetensors(values))
        case _:
            torch.save(values, path)


@pytest.mark.parametrize("file", ["w.pt", "w.pth", "w.npz", "w.safetensors"])
def test_state_dict_formats_are_read(file, folder):
    """The constants are the file's values."""
    save_as(folder / file, state())
    graph = load(folder, "net.py:build", weights=file)
    for name, value in state().items():
        assert np.array_equal(graph.constants[name], value.numpy())


def test_nested_and_prefixed_state_dicts_are_found(folder):
    """Checkpoints that nest the weights or prefix them by data-parallel training are read."""
    prefixed = {f"module.{name}": value for name, value in state().items()}
    torch.save({"state_dict": prefixed, "epoch": 3}, folder / "w.pt")
    graph = load(folder, "net.py:build", weights="w.pt")
    assert np.array_equal(graph.constants["0.bias"], state()["0.bias"].numpy())


def test_mismatching_state_dict_lists_every_difference(folder):
    """Missing, misspelt and misshapen entries stand in one message."""
    values = state()
    values["0.wieght"] = values.pop("0.weight")
    values["3.bias"] = torch.zeros(7)
    torch.save(values, folder / "w.pt")
    with pytest.raises(InputError) as caught:
        load(folder, "net.py:build", weights="w.pt")
    text = str(caught.value)
    assert "'0.weight' is missing (the file has '0.wieght')" in text
    assert "'3.bias' has shape (7,); expected (5,)" in text


def test_weights_go_into_onnx_networks_by_name(folder):
    """A state dict replaces the constants of an ONNX file."""
    export_onnx(load(folder, "net.py:build"), folder / "net.onnx")
    save_as(folder / "w.npz", state())
    graph = load(folder, "net.onnx", weights="w.npz")
    assert np.array_equal(graph.constants["0.weight"], state()["0.weight"].numpy())


@pytest.mark.parametrize("source", ["net.py:build", "net.onnx"])
def test_another_head_starts_anew_where_only_matching_weights_are_asked_for(source, folder):
    """By name, what fits is taken; what starts anew and what is left over is told."""
    export_onnx(load(folder, "net.py:build"), folder / "net.onnx")
    values = state()
    values["3.weight"], values["3.bias"] = torch.zeros(7, 144), torch.zeros(7)
    values["extra"] = torch.zeros(1)
    torch.save(values, folder / "w.pt")
    notes: list[str] = []
    section = ModelSection(source=source, weights="w.pt", match="by_name")
    torch.manual_seed(4)
    graph = load_source(section, folder, (1, 8, 8), notes=notes)
    assert np.array_equal(graph.constants["0.weight"], state()["0.weight"].numpy())
    assert graph.constants["3.weight"].shape == (5, 144)
    assert graph.constants["3.weight"].any()
    assert notes == [
        f"2 of 4 tensors come from {folder / 'w.pt'}",
        "3.weight has shape [7, 144] in the file, [5, 144] in the network",
        "3.bias has shape [7] in the file, [5] in the network",
        "3.weight, 3.bias start anew",
        "3.weight, 3.bias, extra are not used",
    ]
    torch.save({"other": torch.zeros(1)}, folder / "w.pt")
    with pytest.raises(InputError, match="do not fit network"):
        load_source(section, folder, (1, 8, 8))


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class PickledNet(nn.Linear):
    """A module saved whole, carrying code."""

    def __init__(self, path):
        super().__init__(2, 2)
        self.trap = Malicious(path)


@pytest.mark.parametrize("ending", ["pt", "pth", "pkl", "ckpt"])
@pytest.mark.parametrize("style", ["zip", "legacy", "plain"])
def test_pickled_module_is_refused_unread(ending, style, folder):
    """As network or as weights, nothing in a pickle is executed."""
    trap, path = folder / "executed", folder / f"model.{ending}"
    if style == "plain":
        path.write_bytes(pickle.dumps(Malicious(trap)))
    else:
        torch.save(PickledNet(trap), path, _use_new_zipfile_serialization=style == "zip")
    with pytest.raises(InputError) as caught:
        load(folder, path.name)
    assert "not opened" in str(caught.value)
    assert "torch.save(model.state_dict()" in str(caught.value)
    with pytest.raises(InputError):
        load(folder, f"{path.name}:build")
    with pytest.raises(InputError):
        load(folder, "net.py:build", weights=path.name)
    assert not trap.exists()


def test_pickle_disguised_as_arrays_is_refused(folder):
    """An npz with objects in it is not unpickled."""
    trap = folder / "executed"
    np.savez(folder / "w.npz", weight=np.array([Malicious(trap)], dtype=object))
    with pytest.raises(InputError, match="more than arrays"):
        load(folder, "net.py:build", weights="w.npz")
    assert not trap.exists()


def test_torchscript_is_refused_by_name(folder):
    """TorchScript archives are recognised, as network and as weights."""
    torch.jit.trace(nn.Linear(2, 2), torch.randn(1, 2)).save(folder / "model.pt")
    with pytest.raises(InputError, match="TorchScript"):
        load(folder, "model.pt")
    with pytest.raises(InputError, match="TorchScript"):
        load(folder, "net.py:build", weights="model.pt")


def test_state_dict_as_source_is_recognised(folder):
    """Weights alone are no network, and the message says so."""
    torch.save(state(), folder / "w.pt")
    with pytest.raises(InputError, match="state dict without a network"):
        load(folder, "w.pt")


@pytest.mark.parametrize("file", ["w.pt", "w.npz", "w.safetensors"])
def test_damaged_weights_end_in_one_explained_error(file, folder):
    """Truncated and bit-flipped weight files never crash and never run anything."""
    save_as(folder / file, state())
    data, draw, messages = (folder / file).read_bytes(), random.Random(2), []
    for number in range(40):
        damaged = bytearray(data[: draw.randrange(len(data))] if number % 2 else data)
        for _ in range(0 if number % 2 else 3):
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        (folder / file).write_bytes(damaged)
        try:
            load(folder, "net.py:build", weights=file)
        except NibblefitError as error:
            messages.append(str(error))
    assert messages
    assert all(file in message for message in messages)


def test_unknown_weights_are_explained(folder):
    """Missing files and unknown endings are named."""
    with pytest.raises(InputError, match="does not exist"):
        load(folder, "net.py:build", weights="absent.pt")
    (folder / "w.txt").write_text("no")
    with pytest.raises(InputError, match="safetensors"):
        load(folder, "net.py:build", weights="w.txt")


def test_safetensors_of_the_official_writer_are_read(tmp_path):
    """Half, bfloat and integer tensors come through the project's own writer unchanged."""
    official = pytest.importorskip("safetensors.torch", reason="writer of the format not installed")
    values = {
        "half": torch.randn(3, 2).half(), "brain": torch.randn(4).bfloat16(),
        "count": torch.tensor(7), "empty": torch.zeros(0, 3), "flags": torch.tensor([True, False]),
    }  # fmt: skip
    official.save_file(values, tmp_path / "w.safetensors")
    found = read_state_dict(tmp_path / "w.safetensors")
    assert found.keys() == values.keys()
    assert all(torch.equal(found[n], v) and found[n].dtype == v.dtype for n, v in values.items())


@pytest.mark.parametrize("source", ["net.py:build", "net.onnx"])
def test_a_fresh_head_starts_anew_although_it_fits(source, folder):
    """`fresh` leaves out what its globs match, tells so, and demands the rest as before."""
    export_onnx(load(folder, "net.py:build"), folder / "net.onnx")
    values = {name: value + 10.0 for name, value in state().items()}
    torch.save(values, folder / "w.pt")
    notes: list[str] = []
    section = ModelSection(source=source, weights="w.pt", fresh=("3.*",))
    graph = load_source(section, folder, (1, 8, 8), notes=notes)
    assert np.array_equal(graph.constants["0.weight"], values["0.weight"].numpy())
    assert graph.constants["3.weight"].max() < 5
    assert notes == ["3.bias, 3.weight start anew, as model.fresh says"]
    wrong = section.model_copy(update={"fresh": ("4.weigh*",)})
    with pytest.raises(InputError, match=r"'4.weigh\*' matches no weight.*did you mean"):
        load_source(wrong, folder, (1, 8, 8))
    with pytest.raises(InputError, match="no weights that it could leave out"):
        load_source(section.model_copy(update={"weights": ""}), folder, (1, 8, 8))
    del values["0.bias"]
    torch.save(values, folder / "w.pt")
    with pytest.raises(InputError, match=r"'0\.bias' is missing"):
        load_source(section, folder, (1, 8, 8))
