"""Writing and reading back: same integers, same bytes, one clear line for every damaged file."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.maxim.flow import Quantized, quantized
from tests.maxim.networks import Chain, captured, random_inputs, seeded

from nibblefit.errors import GraphError, InputError, WorkspaceError
from nibblefit.fixed.steps import Clamp
from nibblefit.ir import reference
from nibblefit_maxim.lift import lift
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000
from nibblefit_maxim.reading.checkpoint import load_checkpoint
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.writing.folder import write_folder
from nibblefit_maxim.writing.names import architecture_name, file_names


@pytest.fixture(scope="module")
def chain() -> Quantized:
    """A quantized chain with mixed widths."""
    graph = captured(seeded(Chain), (1, 8, 8))
    return quantized(graph, random_inputs((1, 8, 8), 32), overrides={"conv2": {"weight_bits": 4}})


@pytest.fixture
def folder(chain: Quantized, tmp_path: Path) -> Path:
    """Its files."""
    sample = chain.codes(random_inputs((1, 8, 8), 1))[0]
    write_folder(chain.graph, MAX78000, tmp_path, sample, arch="My Net", dataset="digits")
    return tmp_path


def _read(folder: Path) -> object:
    return read_files(folder / "network.yaml", folder / "checkpoint-q.pth.tar", (1, 8, 8), MAX78000)


def test_files_read_back_give_the_same_layers(chain: Quantized, folder: Path) -> None:
    """Every hardware layer survives: weights, biases, shifts, formats, geometry."""
    back = _read(folder)
    for before, after in zip(lift(chain.graph), lift(back), strict=True):
        assert np.array_equal(before.weights, after.weights)
        assert np.array_equal(before.bias, after.bias)
        keep = ("weight_bits", "weight_frac", "in_frac", "out_frac")
        assert [getattr(before, k) for k in keep] == [getattr(after, k) for k in keep]
        plain = {"inputs": (), "weight": "", "output": "", "sources": ()}
        assert replace(before.layer, **plain) == replace(after.layer, **plain)


def test_files_read_back_give_the_same_integers(chain: Quantized, folder: Path) -> None:
    """Both graphs write the same output codes on random inputs."""
    codes = chain.codes(random_inputs((1, 8, 8), 16, seed=5))
    back = _read(folder)
    one = reference.run(chain.graph, {chain.graph.inputs[0]: codes}).outputs
    two = reference.run(back, {back.inputs[0]: codes}).outputs
    assert np.array_equal(*one.values(), *two.values())


def test_files_are_the_same_bytes_every_time(
    chain: Quantized, folder: Path, tmp_path: Path
) -> None:
    """Nothing in the files depends on time, place or order."""
    again = tmp_path / "again"
    again.mkdir()
    sample = chain.codes(random_inputs((1, 8, 8), 1))[0]
    artifact = write_folder(chain.graph, MAX78000, again, sample, arch="My Net", dataset="digits")
    for file in artifact.files:
        assert (folder / file.path).read_bytes() == (again / file.path).read_bytes(), file.role
    assert "--device MAX78000" in artifact.notes["command"]
    assert "--checkpoint-file ./checkpoint-q.pth.tar" in artifact.notes["command"]


def test_checkpoint_has_the_vendors_keys_in_execution_order(folder: Path) -> None:
    """Tensors only, names and scaling as the vendor's script writes them."""
    content = torch.load(folder / "checkpoint-q.pth.tar", weights_only=True)
    assert content["arch"] == "my_net"
    keys = list(content["state_dict"])
    assert [k for k in keys if k.endswith(".weight")] == [
        "conv1.op.weight", "conv2.op.weight", "conv3.op.weight", "head.op.weight",
    ]  # fmt: skip
    assert content["state_dict"]["conv2.weight_bits"].tolist() == [4.0]
    bias = content["state_dict"]["conv2.op.bias"]
    assert torch.equal(bias % 8, torch.zeros_like(bias))
    assert all(isinstance(v, torch.Tensor) for v in content["state_dict"].values())


def test_sample_is_int64_channels_first(folder: Path) -> None:
    """The sample is what the compiler expects."""
    sample = np.load(folder / "sample_digits.npy", allow_pickle=False)
    assert sample.dtype == np.int64
    assert sample.shape == (1, 8, 8)


def test_readme_names_the_files_and_the_command(folder: Path) -> None:
    """Whoever opens the folder finds how to go on."""
    text = (folder / "README.md").read_text()
    for word in ("network.yaml", "checkpoint-q.pth.tar", "sample_digits.npy", "ai8xize.py",
                 "openocd", "arm-none-eabi-gdb", "MAXIM_PATH", "Linux", "MSYS2", "--stop-after",
                 "nibblefit maxim lint", "Data mismatch"):  # fmt: skip
        assert word in text


def test_folder_that_cannot_be_written_is_named(chain: Quantized, tmp_path: Path) -> None:
    """A missing folder ends in one line, not in a traceback."""
    sample = chain.codes(random_inputs((1, 8, 8), 1))[0]
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_folder(chain.graph, MAX78000, tmp_path / "absent", sample)


def test_names_for_files_are_unique_and_no_numbers() -> None:
    """Digits would be taken for layer numbers, `input` is reserved, case does not count."""
    names = file_names(["0", "input", "a/b", "A_B", "..."])
    assert list(names.values()) == ["layer_0", "input_2", "a_b", "A_B_2", "layer"]
    assert architecture_name("My Net!") == "my_net"
    assert architecture_name("!") == "network"


def _save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "expected a dictionary"),
        ({"epoch": 0}, "'state_dict' is missing"),
        ({"state_dict": {}}, "'epoch' is missing"),
        ({"epoch": 0, "state_dict": torch.zeros(1)}, "not a mapping"),
        ({"epoch": 0, "state_dict": {"a.weight": 3}}, "not a plain tensor"),
        ({"epoch": 0, "state_dict": {"bn.weight": torch.zeros(4)}}, "batch norm is not folded"),
    ],
)
def test_checkpoint_with_wrong_contents_is_refused(
    tmp_path: Path, content: object, words: str
) -> None:
    """Missing keys and wrong types are named."""
    with pytest.raises(InputError, match=words):
        load_checkpoint(_save(tmp_path / "c.pth.tar", content))


def test_missing_damaged_and_hostile_checkpoints_are_refused(tmp_path: Path) -> None:
    """Nothing in a file is executed; whatever is wrong with it ends in one line."""
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "absent.pth.tar")

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "hostile").write_bytes(pickle.dumps({"epoch": 0, "state_dict": Hostile()}))
    with pytest.raises(InputError, match="not a checkpoint of tensors"):
        load_checkpoint(tmp_path / "hostile")
    assert not (tmp_path / "executed").exists()


def test_truncated_and_flipped_checkpoints_never_raise_anything_else(
    folder: Path, tmp_path: Path
) -> None:
    """40 damaged copies: each is refused, or read because the damage hit a weight or padding."""
    content = (folder / "checkpoint-q.pth.tar").read_bytes()
    random = np.random.default_rng(1)
    path = tmp_path / "damaged.pth.tar"
    refused = 0
    for index in range(40):
        damaged = bytearray(content)
        if index % 2:
            del damaged[int(random.integers(len(content))) :]
        else:
            damaged[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            load_checkpoint(path)
        except InputError:
            refused += 1
    assert refused >= 20


def _edited(folder: Path, **changes: object) -> Path:
    path = folder / "checkpoint-q.pth.tar"
    content = torch.load(path, weights_only=True)
    for key, value in changes.items():
        content["state_dict"][key.replace("__", ".")] = value
    buffer = io.BytesIO()
    torch.save(content, buffer)
    path.write_bytes(buffer.getvalue())
    return folder


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("conv1__op__weight", lambda w: w + 0.5, "not integers"),
        ("conv2__op__weight", lambda w: w * 40, "do not fit 4 bits"),
        ("conv1__op__bias", lambda b: b * 300 + 1e6, "bias codes"),
        ("head__op__weight", lambda w: w[:, :-1], "features arrive"),
        ("conv2__op__weight", lambda w: w[..., :1, :1], "kernel is"),
        ("conv2__op__weight", lambda w: w[:, :-1], "channels"),
    ],
)
def test_weights_that_do_not_fit_the_file_are_refused(
    folder: Path, key: str, change: object, words: str
) -> None:
    """Float weights, too wide codes and wrong shapes are told apart, with layer and module."""
    name = key.replace("__", ".")
    stored = torch.load(folder / "checkpoint-q.pth.tar", weights_only=True)["state_dict"][name]
    with pytest.raises(InputError, match=words):
        _read(_edited(folder, **{key: change(stored)}))


def test_checkpoint_of_another_architecture_is_refused(folder: Path) -> None:
    """`arch` must agree."""
    path = folder / "network.yaml"
    path.write_text(path.read_text().replace("arch: my_net", "arch: other"))
    with pytest.raises(InputError, match="arch is 'other'"):
        _read(folder)


def test_checkpoint_with_too_few_layers_is_refused(folder: Path) -> None:
    """A layer of the YAML finds no weights."""
    path = folder / "checkpoint-q.pth.tar"
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {
        k: v for k, v in content["state_dict"].items() if not k.startswith("head")
    }
    _save(path, content)
    with pytest.raises(InputError, match="no weights left"):
        _read(folder)


def test_all_zero_weights_without_a_stated_width_are_refused(folder: Path) -> None:
    """Zeros usually mean that the checkpoint was never quantized."""
    path = folder / "network.yaml"
    path.write_text(path.read_text().replace("    quantization: 8\n", ""))
    stored = torch.load(folder / "checkpoint-q.pth.tar", weights_only=True)["state_dict"]
    zeros = torch.zeros_like(stored["conv1.op.weight"])
    with pytest.raises(InputError, match="all weights are zero"):
        _read(_edited(folder, conv1__op__weight=zeros))


def test_graphs_of_other_targets_are_not_written(chain: Quantized) -> None:
    """Steps that this hardware does not do are named instead of being written wrongly."""
    graph = chain.graph
    target = next(node for node in graph.nodes if node.name == chain.fused.layers[0].tensor)
    wrong = replace(target, steps=(Clamp(-8, 7),))
    nodes = [wrong if node is target else node for node in graph.nodes]
    with pytest.raises(GraphError, match="steps that this hardware does not do"):
        lift(graph.with_nodes(*nodes))
    shifted = replace(target, steps=(Clamp(-128, 127),))
    nodes = [shifted if node is target else node for node in graph.nodes]
    with pytest.raises(GraphError, match="formats ask for"):
        lift(graph.with_nodes(*nodes))


def test_narrow_output_and_zero_thresholds_survive(tmp_path: Path) -> None:
    """8-bit output and plain [−1, 1) activations are written and read like everything else."""
    options = MaximOptions(wide_output=False, activation_thresholds=False)
    x = random_inputs((1, 8, 8), 8)
    done = quantized(captured(seeded(Chain), (1, 8, 8)), x, options=options)
    assert not done.thresholds
    write_folder(done.graph, MAX78000, tmp_path, done.codes(x)[0])
    back = _read(tmp_path)
    one = reference.run(done.graph, {done.graph.inputs[0]: done.codes(x)}).outputs
    two = reference.run(back, {back.inputs[0]: done.codes(x)}).outputs
    assert np.array_equal(*one.values(), *two.values())
    assert back.tensors[back.outputs[0]].format.bits == 8
