"""The vendor's own files become integer graphs: float or integer, in Python and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.maxim.linting.cases import RESIDUAL

from nibblefit.cli import main
from nibblefit.errors import InputError, WorkspaceError
from nibblefit.ir.store import digest, load_quantized
from nibblefit_maxim.importing.folder import OUTPUT_NAME, import_folder
from nibblefit_maxim.importing.vendor import import_network
from nibblefit_maxim.parts import MAX78000, MAX78002

#: (name, expected digest equality) of networks whose float and integer checkpoints exist.
PAIRS = {"autoenc": "autoenc", "mnist-xs": "mnist-xs", "catsdogs": "catsdogs-nofifo78002"}


def shape_of(folder: Path) -> tuple[int, ...]:
    """Return the shape of a network's sample."""
    return tuple(np.load(folder / "input.npz")["x"].shape)


@pytest.mark.parametrize("name", PAIRS)
def test_float_checkpoint_gives_the_integers_of_the_vendors_script(shared: Path, name: str) -> None:
    """Importing before and after the vendor's quantization is the same graph."""
    vendor = shared / "vendor" / "maxim"
    folder = vendor / "nets" / PAIRS[name]
    part = MAX78002 if "78002" in PAIRS[name] else MAX78000
    graphs = [
        import_network(
            folder / "net.yaml", vendor / "quantize" / f"{name}-{kind}.pth.tar",
            shape_of(folder), part,
        )
        for kind in ("float", "q")
    ]  # fmt: skip
    assert [item.was_float for item in graphs] == [True, False]
    assert digest(graphs[0].graph) == digest(graphs[1].graph)


def test_folder_holds_graph_and_output_of_the_sample(shared: Path, tmp_path: Path) -> None:
    """What was written is the graph, and its output is the vendor's expected one."""
    folder = shared / "vendor" / "maxim" / "nets" / "mnist"
    sample = np.load(folder / "input.npz")["x"].astype(np.int64)
    np.save(tmp_path / "x.npy", sample)
    found = import_folder(
        folder / "net.yaml", folder / "quantized.pth.tar", tmp_path / "out", MAX78000,
        sample=tmp_path / "x.npy",
    )  # fmt: skip
    assert digest(load_quantized(tmp_path / "out")) == found.digest
    with np.load(folder / "expected.npz") as arrays:
        expected = arrays[sorted(arrays)[-1]].reshape(-1)
    with np.load(tmp_path / "out" / OUTPUT_NAME) as arrays:
        (name,) = arrays
        assert np.array_equal(arrays[name].reshape(-1), expected)
    assert found.outputs[name] == expected[:10].tolist()
    assert len(found.table.rows) == 5


def state(scale: float = 1.0) -> dict[str, torch.Tensor]:
    """Return weights of the residual example, in its order."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"first": (16, 3), "second": (20, 16), "third": (20, 20), "fourth": (20, 20)}
    return {
        f"{name}.op.weight": torch.randint(-99, 99, (*shape, 3, 3), generator=generator) * scale
        for name, shape in shapes.items()
    }


def save(path: Path, **changes: object) -> Path:
    """Write a checkpoint of the residual example with some keys replaced or, if None, left out."""
    content = {"epoch": 1, "arch": "residual", "state_dict": state(), **changes}
    torch.save({key: value for key, value in content.items() if value is not None}, path)
    return path


def test_command_imports_and_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Table, first output codes and the folder; JSON on request."""
    weights = str(save(tmp_path / "c.pth.tar", state_dict=state(1 / 128)))
    np.save(tmp_path / "x.npy", np.ones((3, 16, 16), np.int64))
    words = ["maxim", "import", str(RESIDUAL), "--checkpoint", weights, "--out",
             str(tmp_path / "graph"), "--sample", str(tmp_path / "x.npy")]  # fmt: skip
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "residual, 5 layers" in shown
    assert "quantized as the vendor's script does" in shown
    assert "output 'fourth' for the sample begins" in shown
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["was_float"] is True
    plain = ["--input-shape", "3,16,16", "--avg-pool-rounding"]
    assert main([*words[:-2], *plain]) == 0
    assert main([*words[:-2]]) == 2
    assert "the shape of the input of residual.yaml is not known" in capsys.readouterr().err


BAD_CHECKPOINTS: dict[str, tuple[dict[str, object], str]] = {
    "no epoch": ({"epoch": None}, "key 'epoch' is missing"),
    "no state": ({"state_dict": None}, "key 'state_dict' is missing"),
    "state is a list": ({"state_dict": [1]}, "'state_dict' is not a mapping"),
    "no weights": ({"state_dict": {"a": torch.zeros(1)}}, "no key that ends in '.weight'"),
    "epoch is text": ({"epoch": "one"}, "'epoch' is 'one', expected an integer"),
    "not a tensor": ({"state_dict": {"a.op.weight": 3}}, "'a.op.weight' is not a plain tensor"),
    "other network": ({"arch": "other"}, "but the checkpoint's is 'other'"),
    "batch norm": ({"state_dict": {**state(), "n.bn.weight": torch.ones(3)}}, "is not folded"),
    "layer missing": (
        {"state_dict": {k: v for k, v in state().items() if "fourth" not in k}},
        "no weights left",
    ),
    "too wide": ({"state_dict": {k: v * 3 for k, v in state().items()}}, "do not fit 8 bits"),
    "zeros": ({"state_dict": {k: v * 0 for k, v in state().items()}}, "all weights are zero"),
}


@pytest.mark.parametrize("what", BAD_CHECKPOINTS)
def test_bad_checkpoint_is_one_clear_error(tmp_path: Path, what: str) -> None:
    """Whatever is wrong with the checkpoint, the message names file and reason."""
    change, words = BAD_CHECKPOINTS[what]
    path = save(tmp_path / "c.pth.tar", **change)
    with pytest.raises(InputError) as error:
        import_network(RESIDUAL, path, (3, 16, 16), MAX78000)
    assert words in str(error.value)
    assert error.value.hint


def test_float_checkpoint_is_refused_where_integers_are_due(tmp_path: Path) -> None:
    """Reading files back never quantizes; importing does."""
    from nibblefit_maxim.reading.network import read_files

    path = save(tmp_path / "c.pth.tar", state_dict=state(1 / 128))
    with pytest.raises(InputError, match="weights are not integers; quantize"):
        read_files(RESIDUAL, path, (3, 16, 16), MAX78000)
    assert import_network(RESIDUAL, path, (3, 16, 16), MAX78000).was_float


def test_widths_can_be_chosen_per_layer(tmp_path: Path) -> None:
    """The caller's widths win over the checkpoint's; unknown layers are refused."""
    path = save(tmp_path / "c.pth.tar", state_dict=state(1 / 128))
    found = import_network(RESIDUAL, path, (3, 16, 16), MAX78000, weight_bits={"third": 4})
    bits = {row[0]: row[3] for row in found.table().rows}
    assert (bits["second"], bits["third"], bits["copy"]) == (8, 4, "–")
    with pytest.raises(InputError, match="no layer called thrid"):
        import_network(RESIDUAL, path, (3, 16, 16), MAX78000, weight_bits={"thrid": 4})


def test_widths_of_the_yaml_reach_the_quantizer(tmp_path: Path) -> None:
    """`quantization: 2` in the file means two bits after quantizing."""
    text = RESIDUAL.read_text().replace("name: second\n", "name: second\n    quantization: 2\n")
    (tmp_path / "net.yaml").write_text(text)
    path = save(tmp_path / "c.pth.tar", state_dict=state(1 / 128))
    graph = import_network(tmp_path / "net.yaml", path, (3, 16, 16), MAX78000).graph
    assert graph.tensors["second.weight"].format.bits == 2
    assert graph.constants["second.weight"].min() >= -2


def test_shared_weights_are_read_from_their_source(tmp_path: Path) -> None:
    """A layer with weight_source takes kernel and bias of an earlier one, and none of its own."""
    text = RESIDUAL.read_text().replace(
        "name: fourth\n", "name: fourth\n    weight_source: third\n"
    )
    (tmp_path / "net.yaml").write_text(text)
    weights = {k: v for k, v in state().items() if "fourth" not in k}
    path = save(tmp_path / "c.pth.tar", state_dict=weights)
    graph = import_network(tmp_path / "net.yaml", path, (3, 16, 16), MAX78000).graph
    assert np.array_equal(graph.constants["fourth.weight"], graph.constants["third.weight"])
    biased = {**weights, "third.op.bias": torch.full((20,), 128.0)}
    path = save(tmp_path / "b.pth.tar", state_dict=biased)
    shared = import_network(tmp_path / "net.yaml", path, (3, 16, 16), MAX78000).graph
    assert np.array_equal(shared.constants["fourth.bias"], shared.constants["third.bias"])
    (tmp_path / "net.yaml").write_text(text.replace("weight_source: third", "weight_source: fifth"))
    with pytest.raises(InputError, match="names fifth, not a layer with weights before"):
        import_network(tmp_path / "net.yaml", path, (3, 16, 16), MAX78000)


def test_wrong_shapes_and_places_are_explained(tmp_path: Path) -> None:
    """A sample that contradicts the stated shape, and a folder that cannot be made."""
    path = save(tmp_path / "c.pth.tar")
    np.save(tmp_path / "x.npy", np.ones((3, 8, 8), np.int64))
    with pytest.raises(InputError, match=r"expected \(3, 16, 16\)"):
        import_folder(RESIDUAL, path, tmp_path / "o", MAX78000, sample=tmp_path / "x.npy",
                      input_shape=(3, 16, 16))  # fmt: skip
    with pytest.raises(InputError, match=r"has 4 channels; weights .* expect 3"):
        import_folder(RESIDUAL, path, tmp_path / "o", MAX78000, input_shape=(4, 16, 16))
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        import_folder(RESIDUAL, path, tmp_path / "file" / "o", MAX78000, input_shape=(3, 16, 16))
