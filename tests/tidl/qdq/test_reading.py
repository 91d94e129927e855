"""QDQ files become integer graphs: ours, TI's, and those that cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.tidl.current.executing import executed
from tests.tidl.networks import classifier, samples
from tests.tidl.qdq.models import MODES, everything, initializer, made, node, replace

from nibblefit.errors import InputError, NibblefitError
from nibblefit.fixed.quantize import dequantize
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit_tidl.qdq.comparing import compare
from nibblefit_tidl.qdq.reading import QDQ_TENSORS, graph_of, read_qdq


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_a_written_file_gives_the_same_integers(part: str, kind: int) -> None:
    """Every output, on real inputs and on the extreme codes."""
    network = everything()
    graph, model = made(part, kind, network)
    back = graph_of(model)
    assert back.metadata["quantization_scale_type"] == kind
    x = samples(network, 16)
    before, after = executed(graph, x), executed(back, x)
    for name, other in zip(graph.outputs, back.outputs, strict=True):
        assert np.array_equal(before[name], after[other])
        ours, theirs = graph.tensors[name].format, back.tensors[other].format
        assert (ours.name, ours.zero_point) == (theirs.name, theirs.zero_point)


def test_the_vendors_file_gives_its_recorded_output(shared: Path) -> None:
    """To onnxruntime bit by bit; judge and engine but for what one tie leads to."""
    stem = shared / "vendor" / "tidl" / "qdq_onnx" / "v2_WC8_AT8_default"
    recorded = np.load(f"{stem}_ref.npz")
    graph = read_qdq(f"{stem}.onnx")
    assert graph.metadata["quantization_scale_type"] == 4
    names = graph.metadata[QDQ_TENSORS]
    found = compare(graph, f"{stem}.onnx", {graph.inputs[0]: recorded["x"]}, names)
    (output,) = graph.outputs
    fmt = graph.tensors[output].format
    assert np.array_equal(dequantize(found.outputs[output], fmt).astype(np.float32), recorded["y"])
    total = found.total
    assert (total.unexplained, total.factors, total.exact_ties, total.near_ties) == (0, 0, 0, 1)
    judged = dequantize(executed(graph, recorded["x"])[output], fmt)
    assert np.abs(judged - recorded["y"]).max() < 1.001 * fmt.scale.values()[0]


def _without_output_pair(model: onnx.ModelProto) -> None:
    node(model, "b_quantized").op_type = "Identity"
    del node(model, "b_quantized").input[1:]
    node(model, "b").op_type = "Identity"
    del node(model, "b").input[1:]


def _weights_on_the_fly(model: onnx.ModelProto) -> None:
    entry = node(model, "a.weight_dequantized")
    values = initializer(model, entry.input[0]).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "loose"))
    position = list(model.graph.node).index(entry)
    pair = onnx.helper.make_node("QuantizeLinear", ["loose", *entry.input[1:]], ["fly"], axis=0)
    model.graph.node.insert(position, pair)
    entry.input[0] = "fly"


def _bias_scale(model: onnx.ModelProto) -> None:
    replace(model, "a.bias_scale", 2 * initializer(model, "a.bias_scale"))


def _weight_zero(model: onnx.ModelProto) -> None:
    replace(model, "a.weight_zero", np.ones(8, np.int8))


def _other_scale(model: onnx.ModelProto) -> None:
    replace(model, "pool_zero", np.array(3, np.uint8))


def _wide(model: onnx.ModelProto) -> None:
    replace(model, "b_zero", np.array(0, np.int16))


def _open_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"


def _two_scales(model: onnx.ModelProto) -> None:
    replace(model, "b_scale", np.ones(2, np.float32))


def _scale_count(model: onnx.ModelProto) -> None:
    replace(model, "a.weight_scale", np.ones(5, np.float32))


def _unquantized_input(model: onnx.ModelProto) -> None:
    node(model, "stem_unrectified").input[0] = "x"
    for name in ("x_quantized", "x_dequantized"):
        model.graph.node.remove(node(model, name))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without_output_pair, "is not quantized"),
        (_weights_on_the_fly, "stands on a constant"),
        (_bias_scale, "bias scale"),
        (_weight_zero, "has a zero point"),
        (_other_scale, "another scale or zero point"),
        (_wide, "codes of type int16"),
        (_open_input, "no static shape"),
        (_two_scales, "no scalar constant scale"),
        (_scale_count, "5 scales along axis 0"),
        (_unquantized_input, "input 'x' is not quantized"),
    ],
)
def test_inconsistent_models_are_refused(
    change: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    """In one line that says what and where."""
    _, model = made("am68a", 4)
    change(model)
    with pytest.raises(NibblefitError, match=reason) as caught:
        graph_of(model)
    assert caught.value.hint


def test_float_models_and_damaged_files_are_refused(tmp_path: Path) -> None:
    """No pairs, no ONNX, no file."""
    with pytest.raises(InputError, match="it is a float model"):
        graph_of(to_onnx(everything()))
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match="no ONNX model"):
        read_qdq(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="no ONNX model"):
        read_qdq(tmp_path / "missing.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="holds no network"):
        read_qdq(tmp_path / "empty.onnx")


def test_operators_that_nobody_knows_are_refused() -> None:
    """By name, as in any import."""
    _, model = made("am68a", 4)
    node(model, "mean_float").op_type = "Erf"
    with pytest.raises(NibblefitError, match="Erf"):
        graph_of(model)


def test_symmetric_files_with_middle_zero_points_are_read(tmp_path: Path) -> None:
    """As TI's exporter writes powers of two: uint8, zero point 127 behind a rectifier."""
    _, model = made("tda4vm", 1)
    replace(model, "a.relu_zero", np.array(127, np.uint8))
    replace(model, "a.relu_scale", 2 * initializer(model, "a.relu_scale"))
    replace(model, "b.bias_scale", 2 * initializer(model, "b.bias_scale"))
    graph = graph_of(model)
    assert graph.metadata["quantization_scale_type"] == 4
    assert graph.tensors["a.relu"].format.zero_point == (127,)
    onnx.save(model, str(tmp_path / "net.onnx"))
    x = {"x": samples(classifier(), 1)}
    found = compare(graph, tmp_path / "net.onnx", x, graph.metadata[QDQ_TENSORS])
    assert found.total.unexplained == 0
