"""The whole folder: what is in it, what is left out, and the way back."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.vitis.xir.networks import NETWORKS, Net, convolutions, formats_of, pools

from nibblefit.data.scaling import Scaling
from nibblefit.errors import InputError, WorkspaceError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.runner.artifact import check_read_back
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.settings import Device, NetworkSetting
from nibblefit_vitis.writing.files import Deployment, read_network, write_all
from nibblefit_vitis.writing.onnx_form.writing import to_qdq
from nibblefit_vitis.writing.quant_info import read_quant_info
from nibblefit_vitis.xir.reading import read_xmodel

SETTING = NetworkSetting()
ALL = {
    "Net_int.xmodel", "names.json", "quant_info.json", "Net_int.onnx", "arch.json",
    "deployment.txt", "deployment.json", "README.md", "checksums.json",
}  # fmt: skip


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_integers_of_the_read_network_are_the_written_ones(
    build: Callable[[], Graph], tmp_path: Path
) -> None:
    """Lowered again, the network read from the xmodel has every constant of the original."""
    graph = build()
    formats = formats_of(graph)
    if {"tanh", "softmax"} & {node.op.value for node in graph.nodes}:
        formats = formats_of(graph, 5)
    written = write_all(tmp_path, graph, formats, SETTING, "kv260")
    assert written.left_out == {}
    back = read_network(tmp_path)
    assert back is not None
    ours = lower_network(graph, formats, SETTING)
    theirs = lower_network(back.graph, back.formats, SETTING)
    assert set(theirs.constants) == set(ours.constants)
    for name, codes in ours.constants.items():
        np.testing.assert_array_equal(theirs.constants[name], codes, name)
    assert [theirs.tensors[n].format for n in theirs.outputs] == [
        ours.tensors[n].format for n in ours.outputs
    ]


@pytest.mark.parametrize("bits", [4, 16])
def test_other_widths_come_back_too(bits: int, tmp_path: Path) -> None:
    """A hard swish of 4 or 16 bits computes the same integers after reading."""
    net = Net(3, 4, 4)
    graph = net.done(net.add(Op.HARD_SWISH, [net.conv(net.x, 3, "conv")], "swish"))
    formats = formats_of(graph)
    wide = {name: FixPosition(bits, bits // 2) for name in formats.outputs}
    formats = replace(formats, outputs=frozen_mapping(wide))
    write_all(tmp_path, graph, formats, SETTING, "kv260")
    back = read_network(tmp_path)
    assert back is not None
    ours = lower_network(graph, formats, SETTING)
    check_read_back(ours, lower_network(back.graph, back.formats, SETTING), "vitis", 1)


def test_a_model_of_another_batch_is_written_for_batch_one(tmp_path: Path) -> None:
    """An ONNX file whose batch is fixed at 8 ends in files for batch 1."""
    model = to_qdq(convolutions(), NetworkFormats(), SETTING, batch=8)
    onnx.save(model, str(tmp_path / "eight.onnx"))
    graph = replace(import_onnx(tmp_path / "eight.onnx"), name="Net")
    write_all(tmp_path, graph, formats_of(graph), SETTING, "kv260")
    shapes = [op.tensor.shape for op in read_xmodel(tmp_path / "Net_int.xmodel").operators
              if op.kind == "data"]  # fmt: skip
    assert shapes == [(1, 9, 7, 4)]
    written = onnx.load(str(tmp_path / "Net_int.onnx")).graph
    for end in (*written.input, *written.output):
        assert end.type.tensor_type.shape.dim[0].dim_value == 1


def test_a_folder_holds_everything_twice_the_same(tmp_path: Path) -> None:
    """Files are complete, listed with their digests, and equal in a second run."""
    graph = convolutions()
    for name in ("one", "two"):
        given = Deployment(corrections={"plain.bias": np.arange(6.0)}, fast_finetuned=True)
        written = write_all(tmp_path / name, graph, formats_of(graph), SETTING, "zcu104",
                            deployment=given)  # fmt: skip
        names = {str(file.path) for file in written.files}
        assert names == ALL | {"bias_corr.pth"}
        assert {path.name for path in (tmp_path / name).iterdir()} == names
    for name in sorted(ALL):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    info = read_quant_info((tmp_path / "one/quant_info.json").read_text("utf-8"), graph)
    assert (info.fast_finetuned, info.bias_corrected) == (True, True)
    assert info.formats == formats_of(graph)
    assert info.version.startswith("nibblefit-")
    assert len(info.graph_md5) == 32


def test_the_command_can_be_pasted(tmp_path: Path) -> None:
    """Split by a shell's rules it gives the compiler's arguments, the options as one word."""
    graph = convolutions()
    given = Deployment(compiler_options={"debug": "", "output_ops": "a b"})
    written = write_all(tmp_path, graph, formats_of(graph), SETTING, "kv260", deployment=given)
    assert shlex.split(written.command) == [
        "vai_c_xir", "-x", "Net_int.xmodel", "-a", "arch.json", "-o", "compiled", "-n", "Net",
        "-e", "{'input_shape': '1,9,7,4', 'debug': '', 'output_ops': 'a b'}",
    ]  # fmt: skip
    assert written.command in (tmp_path / "README.md").read_text("utf-8")
    for bad in ("a'b", "a\\b", "a\nb"):
        with pytest.raises(InputError, match="compiler option"):
            write_all(tmp_path, graph, formats_of(graph), SETTING, "kv260",
                      deployment=Deployment(compiler_options={"key": bad}))  # fmt: skip


def test_active_characters_are_quoted_otherwise(tmp_path: Path) -> None:
    """A dollar sign in an option reaches the compiler, not the shell."""
    graph = convolutions()
    given = Deployment(compiler_options={"key": "$HOME"})
    written = write_all(tmp_path, graph, formats_of(graph), SETTING, "kv260", deployment=given)
    assert shlex.split(written.command)[-1].endswith("'key': '$HOME'}")
    assert '"{' not in written.command


@pytest.mark.parametrize(
    ("part", "arch", "name", "fingerprint"),
    [
        ("kv260", "", "DPUCZDX8G_ISA1_B4096", "0x101000056010407"),
        ("DPUCZDX8G_ISA1_B512", "", "DPUCZDX8G_ISA1_B512", "0x101000056010200"),
        ("kv260", "0x101000016010407", "", "0x101000016010407"),
        ("kv260", "DPUCVDX8G_ISA3_C32B1", "DPUCVDX8G_ISA3_C32B1", "0x603000b56011811"),
    ],
)  # fmt: skip
def test_arch_json_states_the_dpu(
    tmp_path: Path, part: str, arch: str, name: str, fingerprint: str
) -> None:
    """The part's usual DPU, or the one that was asked for, known by name or not."""
    graph = convolutions()
    written = write_all(tmp_path, graph, formats_of(graph), SETTING, part,
                        deployment=Deployment(arch=arch))  # fmt: skip
    assert json.loads((tmp_path / "arch.json").read_text()) == {"fingerprint": fingerprint}
    assert (written.summary.dpu, written.summary.fingerprint) == (name, fingerprint)


def test_the_summary_says_how_pictures_become_codes(tmp_path: Path) -> None:
    """Scaling by a power of two, mean and scale in stored values, layout, names, classes."""
    graph = convolutions()
    scaling = Scaling(0, 256, -1, 1, mean=(0.5,), std=(0.25, 0.5, 1.0, 2.0))
    given = Deployment(scaling=scaling, class_names=("cat", "dog"))
    write_all(tmp_path, graph, formats_of(graph, 4), SETTING, "kv260", deployment=given)
    body = json.loads((tmp_path / "deployment.json").read_text("utf-8"))
    (end,) = body["inputs"]
    assert (end["scaling"], end["fix_position"], end["shape"]) == (16.0, 4, [1, 9, 7, 4])
    assert (end["layout"], end["xmodel_name"]) == ("batch, height, width, channels", "Net__input_0")
    (out,) = body["outputs"]
    assert out["scaling"] == 2.0 ** -out["fix_position"]
    assert out["xmodel_name"] == "Net__dilated_fix"
    assert body["class_names"] == ["cat", "dog"]
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 256).repeat(4, 1)
    found = body["preprocessing"]
    ours = (pixels - np.array(found["mean"])[:, None]) * np.array(found["scale"])[:, None]
    np.testing.assert_allclose(ours, scaling.apply(pixels), rtol=1e-6, atol=1e-6)
    text = (tmp_path / "deployment.txt").read_text("utf-8")
    assert "round(16 * value), clamped (fix position 4)" in text
    assert "between two codes: away from zero (std_round)" in text
    assert "cat, dog" in text


def test_networks_of_float_scales_have_no_xmodel(tmp_path: Path) -> None:
    """What an xmodel cannot state is left out by name, an older one is removed; the rest stays."""
    graph = pools()
    outputs = {name: FloatScale(8, (0.02,), (1,), (2.0,), unsigned=True)
               for name in formats_of(graph).outputs}  # fmt: skip
    formats = replace(formats_of(graph), outputs=frozen_mapping(outputs))
    setting = replace(SETTING, device=Device.CPU)
    write_all(tmp_path, graph, formats_of(graph), SETTING, "kv260")
    written = write_all(tmp_path, graph, formats, setting, "kv260")
    assert set(written.left_out) == {"Net_int.xmodel"}
    assert written.command == ""
    assert {str(file.path) for file in written.files} == ALL - {"Net_int.xmodel", "names.json"}
    assert {path.name for path in tmp_path.iterdir()} == {str(f.path) for f in written.files}
    assert read_network(tmp_path) is None
    readme = (tmp_path / "README.md").read_text("utf-8")
    assert "`Net_int.xmodel` is missing: target_device is CPU" in readme
    assert "vai_c_xir" not in readme
    text = (tmp_path / "deployment.txt").read_text("utf-8")
    assert "round(50 * value) + 1, clamped" in text
    assert "0.02 * (code - 1)" in text


def test_tensors_without_a_format_are_said_to_be_real(tmp_path: Path) -> None:
    """An end that is not quantized has 32 bits and scaling 1."""
    graph = convolutions()
    formats = formats_of(graph)
    outputs = {**formats.outputs, "x": None}
    written = write_all(tmp_path, graph, replace(formats, outputs=frozen_mapping(outputs)),
                        SETTING, "kv260")  # fmt: skip
    assert (written.summary.inputs[0].bits, written.summary.inputs[0].scaling) == (32, 1.0)


def test_damaged_names_and_blocked_folders_are_refused(tmp_path: Path) -> None:
    """One line each: names that are missing or wrong, a file where a folder is needed."""
    graph = convolutions()
    write_all(tmp_path, graph, formats_of(graph), SETTING, "kv260")
    names = tmp_path / "names.json"
    for text, words in (
        ("{", "holds no names"),
        ('{"tensors": {}}', "holds no names"),
        ('{"tensors": {"a": 1}, "layers": {}, "outputs": []}', "no text"),
        ('{"tensors": {}, "layers": {}, "outputs": ["a"]}', "output 'a'"),
    ):
        names.write_text(text)
        with pytest.raises(InputError, match=words):
            read_network(tmp_path)
    names.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        read_network(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="folder"):
        write_all(tmp_path / "file", graph, formats_of(graph), SETTING, "kv260")


@pytest.mark.parametrize("part", ["kv261", "0xzz"])
def test_unknown_parts_are_refused(tmp_path: Path, part: str) -> None:
    """The message names what was asked for."""
    graph = convolutions()
    with pytest.raises(InputError, match=part):
        write_all(tmp_path, graph, formats_of(graph), SETTING, part)
