"""Whole ONNX files: trained networks, refusals, damaged and hostile files."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from onnx.external_data_helper import convert_model_to_external_data
from tests.core.nn.equality import relative
from tests.core.nn.lookalikes import INPUT_SHAPE, build
from tests.core.nn.onnx_models import model, node, saved

from nibblefit.errors import InputError, NibblefitError, UnsupportedError
from nibblefit.ir.float_reference import run_float
from nibblefit.nn.capture import capture
from nibblefit.nn.onnx_export import export_onnx, to_onnx
from nibblefit.nn.onnx_import import import_onnx

TINY = ("resnet8", "ds_cnn", "mobilenet_v1_025_96", "autoencoder")
W = np.ones((2, 3, 3, 3), np.float32)


@pytest.mark.parametrize("folder", ["", "dynbatch/"])
@pytest.mark.parametrize("name", TINY)
def test_trained_network_gives_onnxruntimes_numbers(name, folder, shared):
    """The MLPerf Tiny networks import, with fixed and symbolic batch."""
    path = shared / "data" / "mlperf-tiny-onnx" / f"{folder}{name}.onnx"
    graph = import_onnx(path)
    (source,) = graph.inputs
    x = np.random.default_rng(0).random((1, *graph.shapes[source])).astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    found = run_float(graph, {source: x})[graph.outputs[0]]
    # 1e-4: float32 sums of the autoencoder cancel strongly; the graph is evaluated in float64.
    assert relative(found, expected.astype(np.float64)) <= 1e-4


def test_names_and_weights_come_from_the_file(shared):
    """Nodes are called as in the file and constants like its initializers."""
    graph = import_onnx(shared / "data" / "mlperf-tiny-onnx" / "resnet8.onnx")
    assert graph.name == "resnet8"
    assert {"stem_conv.weight", "stem_conv.bias"} <= set(graph.constants)
    assert graph.nodes[0].inputs[1:] == ("stem_conv.weight", "stem_conv.bias")


@pytest.mark.slow
def test_dynamo_exporter_is_understood(tmp_path):
    """A file of torch's newer exporter gives the module's numbers."""
    module = build("mobilenet_v2")
    program = torch.onnx.export(
        module,
        (torch.randn(2, *INPUT_SHAPE),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
    )
    program.save(tmp_path / "net.onnx")
    graph = import_onnx(tmp_path / "net.onnx")
    x = np.random.default_rng(0).normal(size=(3, *INPUT_SHAPE))
    with torch.no_grad():
        expected = module.double()(torch.from_numpy(x)).numpy()
    assert relative(run_float(graph, {graph.inputs[0]: x})[graph.outputs[0]], expected) <= 1e-5


REFUSED = {
    "lstm": ([node("LSTM", "x w r", hidden_size=2)],
             {"w": np.ones((1, 8, 3), np.float32), "r": np.ones((1, 8, 2), np.float32)}, (2, 3),
             ["LSTM", "convolutions"]),
    "gelu": ([helper.make_node("Gelu", ["x"], ["y"], name="act")], {}, (3,), ["'act'", "Gelu"]),
    "quantized": ([node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")],
                  {"s": np.float32(0.1), "z": np.int8(0)}, (3,), ["already quantized", "float"]),
    "custom": ([helper.make_node("Fused", ["x"], ["y"], domain="com.example")], {}, (3,),
               ["com.example"]),
    "batch mixed": ([node("Reshape", "x s")], {"s": np.array([-1, 3], np.int64)}, (2, 3),
                    ["Reshape", "batch"]),
    "batch moved": ([node("Transpose", "x", perm=[1, 0])], {}, (3,), ["batch axis"]),
    "batch reduced": ([node("ReduceMean", "x", axes=[0])], {}, (3,), ["batch axis"]),
    "huge constant": ([node("ConstantOfShape", "s", "c"), node("Add", "x c")],
                      {"s": np.array([1 << 40], np.int64)}, (3,), ["at most"]),
    "reflect": ([node("Pad", "x p", mode="reflect")],
                {"p": np.array([0, 0, 1, 0, 0, 1], np.int64)}, (2, 4), ["reflect"]),
    "cubic": ([node("Resize", "x - s", mode="cubic")],
              {"s": np.array([1, 1, 2, 2], np.float32)}, (2, 4, 4), ["cubic"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_node_reason_and_remedy(name, tmp_path):
    """What has no place in the graph is refused by name."""
    nodes, constants, shape, words = REFUSED[name]
    opset = 20 if name == "gelu" else 17
    proto = model(nodes, constants, shape, len(shape) + 1, opset)
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(saved(tmp_path, proto))
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_all_refusals_are_reported_together(tmp_path):
    """Operators behind a refused one are looked at too."""
    nodes = [node("Elu", "x", "a"), node("Relu", "a", "b"), node("Softplus", "b", "c"),
             node("Einsum", "c", equation="ij->ij")]  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        import_onnx(saved(tmp_path, model(nodes, {}, (3,), 2)))
    assert all(word in str(caught.value) for word in ("3 things", "Elu", "Softplus", "Einsum"))


@pytest.mark.parametrize("opset", [9, 10])
def test_old_opsets_are_refused_with_the_conversion(opset, tmp_path):
    """Older files name the converter."""
    proto = model([node("Relu", "x")], {}, (3,), 2, opset)
    with pytest.raises(UnsupportedError, match="version_converter"):
        import_onnx(saved(tmp_path, proto))


def test_open_axes_are_taken_from_the_recipe(tmp_path):
    """Spatial sizes that the file leaves open come from model.input_shape, or are asked for."""
    path = saved(tmp_path, model([node("Relu", "x")], {}, (3, "H", "W"), 4))
    with pytest.raises(InputError, match="input_shape"):
        import_onnx(path)
    assert import_onnx(path, input_shape=(3, 5, 6)).shapes["x"] == (3, 5, 6)
    with pytest.raises(InputError, match=r"model.input_shape is \(4, 5, 6\)"):
        import_onnx(path, input_shape=(4, 5, 6))


def external(tmp_path, location="weights.bin"):
    """Write a model with weights in a second file; return the model and its path."""
    proto = model([node("Conv", "x w")], {"w": W}, (3, 8, 8), 4)
    convert_model_to_external_data(proto, location="weights.bin", size_threshold=0)
    onnx.save(proto, tmp_path / "net.onnx")
    proto = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    return tmp_path / "net.onnx"


def test_weights_beside_the_file_are_read(tmp_path):
    """External data in the same folder is loaded."""
    graph = import_onnx(external(tmp_path))
    assert np.array_equal(graph.constants["w"], W)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "", "missing.bin", "link.bin", "a\0b"]
)
def test_weights_outside_the_folder_are_refused(location, tmp_path):
    """No location leads out of the folder, not even through a link."""
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(InputError, match="not a file in"):
        import_onnx(external(folder, location))


def test_constant_node_cannot_read_other_files(tmp_path, monkeypatch):
    """External data outside the initializers is refused, wherever the process runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(3, np.float32).tobytes())
    value = helper.make_tensor("v", TensorProto.FLOAT, [3], b"\0" * 12, raw=True)
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="secret.bin")
    nodes = [helper.make_node("Constant", [], ["c"], value=value), node("Add", "x c")]
    with pytest.raises(InputError, match="another file"):
        import_onnx(saved(tmp_path, model(nodes, {}, (3,), 2)))


def test_short_weights_file_is_refused(tmp_path):
    """Truncated external data is noticed."""
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 10)
    with pytest.raises(InputError, match="expected 216 bytes"):
        import_onnx(path)


def test_damaged_files_end_in_one_explained_error(tmp_path):
    """Truncated and bit-flipped files give an explained error or an intact graph, never a crash."""
    data = to_onnx(capture(build("mobilenet_v2"), INPUT_SHAPE)).SerializeToString()
    draw = random.Random(1)
    path, messages = tmp_path / "net.onnx", []
    for number in range(120):
        damaged = bytearray(data[: draw.randrange(len(data))] if number % 2 else data)
        if number % 2 == 0:
            # Structure lies at the start of the file; flips in weights would go unnoticed.
            for _ in range(1 + number % 5):
                damaged[draw.randrange(min(len(damaged), 4000))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            import_onnx(path)
        except NibblefitError as error:
            messages.append(str(error).strip())
    assert len(messages) > 60
    assert all(messages)


@pytest.mark.parametrize("data", [b"", b"\x08", b"not a network", b"PK\x03\x04" * 10])
def test_other_files_are_not_networks(data, tmp_path):
    """Anything else is refused in one line."""
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"net\.onnx"):
        import_onnx(path)


def test_integer_input_is_refused(tmp_path):
    """A network that starts with bytes is sent back to its first float tensor."""
    proto = model([node("Relu", "x")], {}, (3,), 2)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    proto.graph.node[0].op_type = "Identity"
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(UnsupportedError, match="not a float tensor"):
        import_onnx(saved(tmp_path, proto))


def test_export_writes_symbolic_batch_and_keeps_names(tmp_path):
    """The file declares its batch axis by name and runs through the checker."""
    graph = capture(build("vgg"), INPUT_SHAPE, name="vgg")
    export_onnx(graph, tmp_path / "net.onnx", opset=13, batch="batch")
    proto = onnx.load(tmp_path / "net.onnx")
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [n.name for n in proto.graph.node] == [n.name for n in graph.nodes]
    assert {t.name for t in proto.graph.initializer} >= set(graph.constants)
