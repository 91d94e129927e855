"""Data-convert layers, the numbers for configuration files, the cost estimate, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tests.tidl.current.executing import quantized
from tests.tidl.networks import Net, classifier
from tests.tidl.qdq.models import everything, made

from nibblefit.cli import main
from nibblefit.errors import InputError, RecipeError, UnsupportedError
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit_tidl.configuration.importer import importer_text, parse_importer
from nibblefit_tidl.configuration.importer_model import RtImport
from nibblefit_tidl.configuration.provider_model import ProviderOptions
from nibblefit_tidl.devices import CLASSIC_DEVICES, DEVICES, TDA4VM
from nibblefit_tidl.front.convert import with_converters, without_converters
from nibblefit_tidl.front.cost import HOSTS, Host, cost_table, front_costs
from nibblefit_tidl.front.numbers import Where, describe, front_numbers
from nibblefit_tidl.front.preprocessing import Preprocessing, broadcast

GIVEN = Preprocessing((120.0, 110.0, 100.0), (1 / 64, 1 / 32, 1 / 128))


def _pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


def test_converted_models_take_pixels_and_return_bytes() -> None:
    """The same outputs as the old model on normalized pixels; indices as uint8."""
    model = to_onnx(everything())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    model = onnx.shape_inference.infer_shapes(model)
    new = with_converters(model, GIVEN)
    assert new.graph.input[0].name == "xNet_IN"
    assert new.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert [entry.op_type for entry in new.graph.node][:3] == ["Cast", "Add", "Mul"]
    x = _pixels(2, 3, 8, 8)
    before = run_onnx(model, {"x": GIVEN.apply(x).astype(np.float32)})
    after = run_onnx(new, {"xNet_IN": x})
    assert np.array_equal(before["head"], after["head"])
    assert after["index"].dtype == np.uint8
    assert np.array_equal(before["index"], after["index"])
    assert (
        run_onnx(with_converters(model, GIVEN, output=False), {"xNet_IN": x})["index"].dtype
        == np.int64
    )


def test_qdq_models_are_converted_too() -> None:
    """The pair behind the input stays; its file still gives the same codes."""
    graph, model = made("am68a", 4)
    x = _pixels(1, 3, 12, 12)
    before = run_onnx(model, {"x": GIVEN.apply(x).astype(np.float32)})
    after = run_onnx(with_converters(model, GIVEN), {"xNet_IN": x})
    assert np.array_equal(before["head"], after["head"])
    assert graph.outputs == ("head",)


@pytest.mark.parametrize("given", [GIVEN, broadcast([0.0], [1.0], 3)])
def test_converters_are_taken_out_again(given: Preprocessing) -> None:
    """Whoever wrote them, by their structure; nothing of them is left in the model."""
    model = to_onnx(everything())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    model = onnx.shape_inference.infer_shapes(model)
    new = with_converters(model, given)
    for node in new.graph.node:
        if not node.name.endswith("index_cast"):
            node.name = f"renamed_{node.name}"
    back = without_converters(new)
    assert [n.op_type for n in back.graph.node] == [n.op_type for n in model.graph.node]
    assert {t.name for t in back.graph.initializer} == {t.name for t in model.graph.initializer}
    assert [(v.name, v.type) for v in back.graph.input] == [
        (v.name, v.type) for v in model.graph.input
    ]
    assert [(v.name, v.type) for v in back.graph.output] == [
        (v.name, v.type) for v in model.graph.output
    ]
    onnx.checker.check_model(back, full_check=True)


def test_other_uint8_inputs_are_left_alone() -> None:
    """A model that reads its bytes in another way is no converted model."""
    nodes = [onnx.helper.make_node("Identity", ["aNet_IN"], ["a"])]
    ends = [onnx.helper.make_tensor_value_info(name, TensorProto.UINT8, [1, 3])
            for name in ("aNet_IN", "a")]  # fmt: skip
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:]))
    assert without_converters(model) == model


def test_plain_pixels_need_a_cast_alone() -> None:
    """Mean 0 and scale 1 are not computed."""
    new = with_converters(to_onnx(classifier()), broadcast([0.0], [1.0], 3))
    assert [entry.op_type for entry in new.graph.node][:2] == ["Cast", "Conv"]


def test_models_that_need_no_or_other_conversion_are_refused() -> None:
    """Integers already, other channels, several inputs."""
    model = to_onnx(classifier())
    with pytest.raises(InputError, match="it needs no conversion"):
        with_converters(with_converters(model, GIVEN), GIVEN)
    with pytest.raises(UnsupportedError, match="has 3 channels, mean and scale have 1"):
        with_converters(model, broadcast([0.0], [1.0], 1))
    net = Net((3, 4, 4))
    other = net.builder.add_input("y", (3, 4, 4))
    two = to_onnx(net.finish(net.add(Op.ADD, [net.x, other], "sum")))
    with pytest.raises(UnsupportedError, match="2 inputs"):
        with_converters(two, GIVEN)


def test_numbers_for_configuration_files() -> None:
    """Scales are codes per unit; pixels have type 0, scale 1, and the fold its key."""
    graph = quantized(classifier(), "tda4vm").graph
    folded = front_numbers(graph, GIVEN, Where.FOLD, 2).importer_keys()
    assert folded["inElementType"] == [0]
    assert (folded["inDataNorm"], folded["foldPreBnConv2D"]) == ([1], 2)
    assert (folded["inMean"], folded["inScale"]) == (list(GIVEN.mean), list(GIVEN.scale))
    assert folded["addDataConvertToNet"] == 0
    step = graph.tensors["head"].format.scale.values()[0]
    assert folded["outTensorScale"] == [1 / step]
    assert folded["outElementType"] == [1]
    host = front_numbers(graph, GIVEN).importer_keys()
    assert host["inTensorScale"] == [1 / graph.tensors["x"].format.scale.values()[0]]
    assert "inMean" not in host
    converted = front_numbers(graph, GIVEN, Where.CONVERT)
    assert converted.provider_options() == {
        "advanced_options:add_data_convert_ops": 3,
        "advanced_options:pre_batchnorm_fold": 0,
    }
    assert describe(converted)["where"] == "convert"


def test_indices_take_the_bytes_of_their_classes() -> None:
    """uint8 up to 256 classes; two inputs are refused."""
    numbers = front_numbers(quantized(everything()).graph, GIVEN)
    assert numbers.output_types == (0, 0)
    assert numbers.input_type == 0
    net = Net((3, 4, 4))
    other = net.builder.add_input("y", (3, 4, 4))
    graph = net.finish(net.add(Op.ADD, [net.x, other], "sum"))
    fake = QuantizedGraph("n", "tidl", graph.inputs, (), (), {}, {})
    with pytest.raises(UnsupportedError, match="2 inputs"):
        front_numbers(fake, GIVEN)


def test_the_cost_counts_bytes_and_cycles() -> None:
    """Folding moves the image alone; the host reads bytes and writes floats."""
    host, convert, fold = front_costs((3, 224, 224), TDA4VM)
    values = 3 * 224 * 224
    assert (host.host_bytes, host.accelerator_bytes) == (5 * values, 6 * values)
    assert (convert.host_ms, fold.host_ms) == (0.0, 0.0)
    assert fold.accelerator_bytes == values < convert.accelerator_bytes
    assert host.host_ms == pytest.approx(values * 5 / 2e9 * 1e3)
    padded = front_costs((3, 224, 224), TDA4VM, padding=1)[2]
    assert padded.accelerator_bytes == values + 2 * 3 * 226 * 226
    assert len(cost_table((host, convert, fold)).rows) == 3
    assert {*DEVICES, *CLASSIC_DEVICES} == set(HOSTS)
    slow = front_costs((3, 224, 224), TDA4VM, host=Host(1.0, 1000.0))[0]
    assert slow.host_ms == pytest.approx(2 * host.host_ms)
    with pytest.raises(RecipeError, match="is none"):
        Host(0.0, 10.0)
    with pytest.raises(RecipeError, match="no image"):
        front_costs((3, 4), TDA4VM)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a float model with a padded first layer."""
    made_model = to_onnx(classifier())
    onnx.save(made_model, str(tmp_path / "net.onnx"))
    return tmp_path / "net.onnx"


@pytest.mark.parametrize("words", [["--mode", "convert"], ["--mode", "fold", "--border", "pad"]])
def test_the_command_writes_a_model_of_pixels(
    model: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Both modes compute what the old model computes of normalized pixels."""
    out = model.parent / "pixels.onnx"
    given = ["--mean", "120,110,100", "--scale", "0.015625,0.03125,0.0078125"]
    assert main(["tidl", "front", str(model), *given, *words, "--out", str(out)]) == 0
    assert "add_data_convert_ops = 3" in capsys.readouterr().out
    x = _pixels(1, 3, 12, 12)
    before = run_onnx(model, {"x": GIVEN.apply(x).astype(np.float32)})["head"]
    after = run_onnx(out, {"xNet_IN": x})["head"]
    assert np.allclose(before, after, rtol=0, atol=1e-4)


def test_the_command_prints_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Model, message and costs, with a board's own figures."""
    out = model.parent / "pixels.onnx"
    words = ["--host-clock", "1", "--memory-bandwidth", "1000", "--json"]
    assert main(["tidl", "front", str(model), *words, "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == str(out)
    assert [one["where"] for one in found["costs"]] == ["host", "convert", "fold"]
    assert found["costs"][0]["host_ms"] == pytest.approx(3 * 144 * 5 / 1e6)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--host-clock", "0"], "is none"),
        (["--mode", "fold", "--mean", "128"], "it pads with zeros"),
        (["--mode", "melt"], "--mode melt is unknown"),
        (["--mode", "fold", "--border", "wrap"], "--border wrap is unknown"),
        (["--mean", "a,b"], "--mean a,b is no list of numbers"),
        (["--mean", "1,2"], "2 means for 3 channels"),
        (["--scale", "0"], "not above 0"),
        (["--part", "esp32"], "no part 'esp32'"),
    ],
)
def test_the_command_refuses_in_one_line(
    model: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    """And writes nothing."""
    out = model.parent / "pixels.onnx"
    assert main(["tidl", "front", str(model), *words, "--out", str(out)]) in {2, 4}
    assert reason in capsys.readouterr().err
    assert not out.exists()


def test_quantized_models_cannot_be_folded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line instead of one per quantizer."""
    onnx.save(made("am68a", 4)[1], str(tmp_path / "qdq.onnx"))
    words = ["tidl", "front", str(tmp_path / "qdq.onnx"), "--mode", "fold"]
    assert main([*words, "--out", str(tmp_path / "pixels.onnx")]) == 4
    what, hint = capsys.readouterr().err.splitlines()
    assert "carries its own quantization" in what
    assert "--mode convert" in hint


def test_the_command_says_where_it_cannot_write(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that does not exist."""
    out = model.parent / "missing" / "pixels.onnx"
    assert main(["tidl", "front", str(model), "--out", str(out)]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_models_without_channels_are_refused(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mean and scale belong to channels."""
    found = onnx.load(str(model))
    found.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "C"
    onnx.save(found, str(model))
    assert main(["tidl", "front", str(model), "--out", str(model.parent / "out.onnx")]) == 2
    assert "how many channels" in capsys.readouterr().err


@pytest.mark.parametrize("where", list(Where))
def test_the_numbers_fit_both_configuration_files(where: Where) -> None:
    """They are written and read back by the configuration's own writers."""
    numbers = front_numbers(quantized(classifier(), "tda4vm").graph, GIVEN, where, 2)
    files = {"modelType": 2, "inputNetFile": "net.onnx", "outputNetFile": "net.bin",
             "outputParamsFile": "io_", "inData": "list.txt"}  # fmt: skip
    config = RtImport.model_validate({**files, **numbers.importer_keys()})
    back = parse_importer(importer_text(config))
    assert back.in_mean == (GIVEN.mean if where is Where.FOLD else ())
    assert back.add_data_convert_to_net == numbers.convert_bits
    options = ProviderOptions.model_validate(numbers.provider_options())
    assert options.add_data_convert_ops == 3
