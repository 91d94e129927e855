"""The linter: accepts what the tools accept, and finds every planted problem."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.tidl.networks import Net
from tests.tidl.qdq.models import MODES, initializer, made, node, replace

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit_tidl.qdq.linting.lint import lint_model, lint_qdq


def _rules(model: onnx.ModelProto, part: str = "") -> dict[str, str]:
    """Return rule → severity of everything found."""
    return {entry.rule: entry.severity.value for entry in lint_model(model, part).problems}


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_our_own_files_are_accepted(part: str, kind: int) -> None:
    """Also for their device; averages of scale type 1 have a scale of their own."""
    _, model = made(part, kind)
    expected = {"layer.scale": "note"} if kind == 1 else {}
    assert _rules(model) == _rules(model, part) == expected


def test_the_vendors_file_is_accepted_but_for_tda4vm(shared: Path) -> None:
    """It has one weight scale per channel, and zero points."""
    path = shared / "vendor" / "tidl" / "qdq_onnx" / "v2_WC8_AT8_default.onnx"
    assert lint_qdq(path).problems == lint_qdq(path, "am62a").problems == ()
    errors = [entry.rule for entry in lint_qdq(path, "tda4vm").errors]
    assert errors.count("device.per_channel") == 6
    assert errors.count("device.asymmetric") == 2


def _lost_bit(model: onnx.ModelProto) -> None:
    """As TI's exporter writes symmetric tensors behind a rectifier."""
    replace(model, "a.relu_zero", np.array(127, np.uint8))
    replace(model, "a.relu_scale", 2 * initializer(model, "a.relu_scale"))
    replace(model, "b.bias_scale", 2 * initializer(model, "b.bias_scale"))


def _weights_on_the_fly(model: onnx.ModelProto) -> None:
    entry = node(model, "a.weight_dequantized")
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros((8, 8, 3, 3), np.float32), "loose")
    )
    place = list(model.graph.node).index(entry)
    pair = helper.make_node("QuantizeLinear", ["loose", *entry.input[1:]], ["fly"], axis=0)
    model.graph.node.insert(place, pair)
    entry.input[0] = "fly"


def _float_weights(model: onnx.ModelProto) -> None:
    node(model, "a_unrectified").input[1] = "b.weight_float"
    values = np.zeros((8, 8, 3, 3), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "b.weight_float"))


def _float_bias(model: onnx.ModelProto) -> None:
    node(model, "a_unrectified").input[2] = "loose"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(8, np.float32), "loose"))


def _wrong_bias_scale(model: onnx.ModelProto) -> None:
    replace(model, "a.bias_scale", 2 * initializer(model, "a.bias_scale"))


def _wrong_bias_type(model: onnx.ModelProto) -> None:
    replace(model, "a.bias_quantized", np.zeros(8, np.int8))
    replace(model, "a.bias_zero", np.zeros(8, np.int8))


def _no_shapes(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]


def _open_shape(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"


def _wide_activations(model: onnx.ModelProto) -> None:
    replace(model, "b_zero", np.array(0, np.uint16))


def _per_channel_activation(model: onnx.ModelProto) -> None:
    replace(model, "b_scale", np.ones(8, np.float32))


def _infinite_scale(model: onnx.ModelProto) -> None:
    replace(model, "b_scale", np.array(np.inf, np.float32))


def _computed_scale(model: onnx.ModelProto) -> None:
    node(model, "b_quantized").input[1] = "b_float"


def _clip_in_the_middle(model: onnx.ModelProto) -> None:
    """A clip from zero on whose codes are signed."""
    entry = node(model, "a.relu_float")
    entry.op_type = "Clip"
    values = {"low": np.float32(0), "high": np.float32(1)}
    for name, value in values.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
        entry.input.append(name)
    replace(model, "a.relu_zero", np.array(0, np.int8))


def _no_scale_for_bias(model: onnx.ModelProto) -> None:
    node(model, "a.bias_dequantized").op_type = "Identity"
    del node(model, "a.bias_dequantized").input[1:]


def _between(model: onnx.ModelProto) -> None:
    conv, rectifier = node(model, "a_unrectified"), node(model, "a.relu_float")
    place = list(model.graph.node).index(rectifier)
    given = ["a.relu_scale", "a.relu_zero"]
    pairs = [("QuantizeLinear", conv.output[0], "mid_q"), ("DequantizeLinear", "mid_q", "mid")]
    for kind, source, made_name in reversed(pairs):
        model.graph.node.insert(place, helper.make_node(kind, [source, *given], [made_name]))
    rectifier.input[0] = "mid"


def _unpaired(model: onnx.ModelProto) -> None:
    for reader in model.graph.node:
        for place, name in enumerate(reader.input):
            if name == "b":
                reader.input[place] = "b_float"


def _half_pair(model: onnx.ModelProto) -> None:
    node(model, "b").op_type = "Cast"


def _uneven_pair(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "own"))
    node(model, "b").input[1] = "own"


def _other_scale(model: onnx.ModelProto) -> None:
    replace(model, "pool_zero", np.array(3, np.uint8))


def _old(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 11


def _new(model: onnx.ModelProto) -> None:
    model.opset_import[0].version, model.ir_version = 22, 10


def _unsigned_weights(model: onnx.ModelProto) -> None:
    replace(model, "a.weight_quantized", initializer(model, "a.weight_quantized").astype(np.uint8))
    replace(model, "a.weight_zero", np.full(8, 128, np.uint8))


def _wrong_axis(model: onnx.ModelProto) -> None:
    node(model, "stem.weight_dequantized").attribute[0].i = 1


def _dead_scale(model: onnx.ModelProto) -> None:
    replace(model, "a.weight_scale", np.zeros(8, np.float32))


def _raw_input(model: onnx.ModelProto) -> None:
    node(model, "stem_unrectified").input[0] = "x"


def _integer_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def _raw_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "head_float"


def _unnamed(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _plain_gemm(model: onnx.ModelProto) -> None:
    del node(model, "head_float").attribute[:]


def _scaled_gemm(model: onnx.ModelProto) -> None:
    node(model, "head_float").attribute.append(helper.make_attribute("alpha", 2.0))


def _batch_norm(model: onnx.ModelProto) -> None:
    node(model, "join.relu_float").op_type = "BatchNormalization"


@pytest.mark.parametrize(
    ("change", "rule", "severity"),
    [
        (_lost_bit, "relu.lost_bit", "warning"),
        (_weights_on_the_fly, "weights.quantizer", "error"),
        (_float_weights, "weights.pair", "error"),
        (_unsigned_weights, "weights.type", "error"),
        (_unsigned_weights, "weights.zero", "error"),
        (_wrong_axis, "weights.axis", "error"),
        (_dead_scale, "weights.scale", "error"),
        (_float_bias, "bias.pair", "warning"),
        (_wrong_bias_scale, "bias.scale", "error"),
        (_wrong_bias_type, "bias.type", "error"),
        (_no_shapes, "model.shapes", "error"),
        (_open_shape, "model.shapes", "error"),
        (_wide_activations, "activation.type", "error"),
        (_per_channel_activation, "activation.scale", "error"),
        (_infinite_scale, "activation.scale", "error"),
        (_computed_scale, "activation.scale", "error"),
        (_clip_in_the_middle, "relu.lost_bit", "warning"),
        (_no_scale_for_bias, "bias.pair", "warning"),
        (_between, "relu.between", "error"),
        (_unpaired, "pair.missing", "error"),
        (_half_pair, "pair.missing", "error"),
        (_uneven_pair, "pair.parameters", "error"),
        (_other_scale, "layer.scale", "error"),
        (_old, "model.opset", "error"),
        (_new, "model.opset", "warning"),
        (_raw_input, "network.input", "error"),
        (_integer_input, "network.input", "error"),
        (_raw_output, "network.output", "warning"),
        (_unnamed, "model.source", "note"),
        (_plain_gemm, "gemm.form", "warning"),
        (_scaled_gemm, "gemm.form", "error"),
        (_batch_norm, "batch_norm.folded", "warning"),
    ],
)
def test_every_planted_problem_is_found(
    change: Callable[[onnx.ModelProto], None], rule: str, severity: str
) -> None:
    """With node and remedy."""
    _, model = made("am68a", 4)
    change(model)
    found = [entry for entry in lint_model(model).problems if entry.rule == rule]
    assert found, rule
    assert found[0].severity.value == severity
    assert all(entry.remedy and entry.message for entry in found)


def test_the_lost_bit_is_explained_and_accepted() -> None:
    """How much is lost, and the scale that loses nothing."""
    _, model = made("tda4vm", 1)
    _lost_bit(model)
    found = [p for p in lint_model(model, "tda4vm").problems if p.rule == "relu.lost_bit"]
    assert len(found) == 1
    assert found[0].node == "a.relu_QuantizeLinear"
    assert "127 of 256 codes, 1.0 bits, are never used" in found[0].message
    assert not lint_model(model, "tda4vm").errors


@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
def test_devices_without_them_refuse_zero_points_and_channel_scales(part: str) -> None:
    """Only MMAv1; others take both."""
    _, model = made("am68a", 4)
    found = _rules(model, part)
    device = {rule for rule in found if rule.startswith("device.")}
    expected = {"device.asymmetric", "device.per_channel", "device.scale"}
    assert device == (expected if part == "tda4vm" else set())


def _product(*, rectified: bool) -> Graph:
    net = Net((2, 4, 4), seed=3)
    a, b = net.conv(net.x, 2, "a"), net.conv(net.x, 2, "b")
    return net.finish(net.add(Op.MATMUL, [net.relu(a) if rectified else a, b], "mm"))


def test_products_of_mixed_signs_are_refused_on_tda4vm() -> None:
    """And asymmetric inputs are advised against everywhere."""
    _, mixed = made("tda4vm", 1, _product(rectified=True))
    assert _rules(mixed, "tda4vm")["matmul.signs"] == "error"
    assert "matmul.signs" not in _rules(mixed, "am68a")
    _, alike = made("tda4vm", 1, _product(rectified=False))
    assert "matmul.signs" not in _rules(alike, "tda4vm")
    replace(alike, "mm_zero", np.array(0, np.uint8))
    assert _rules(alike)["matmul.signs"] == "error"
    _, shifted = made("am68a", 4, _product(rectified=False))
    assert _rules(shifted)["matmul.symmetric"] == "warning"


def test_float_models_are_no_qdq_models() -> None:
    """Said first, with what to do."""
    model = to_onnx(_product(rectified=True))
    assert _rules(model)["model.quantized"] == "error"
    assert lint_model(model).problems[0].rule == "model.quantized"


def test_unknown_devices_are_refused() -> None:
    """With the known ones."""
    _, model = made("am68a", 4)
    with pytest.raises(RecipeError, match="no part 'esp32'"):
        lint_model(model, "esp32")
