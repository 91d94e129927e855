"""The QDQ file: its form, its integers, its zeros, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.tidl.current.executing import quantized
from tests.tidl.networks import Net, classifier, samples
from tests.tidl.qdq.models import MODES, everything, initializer, made, node

from nibblefit.errors import UnsupportedError, WorkspaceError
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.quantization.fold import fold
from nibblefit_tidl.qdq.comparing import compare
from nibblefit_tidl.qdq.writing import to_qdq, write_qdq

PAIR = ("QuantizeLinear", "DequantizeLinear")


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_the_file_is_as_the_vendors_exporter_writes_it(part: str, kind: int) -> None:
    """Opset 17, IR 8, fixed shapes everywhere, the exporter named."""
    _, model = made(part, kind)
    assert model.opset_import[0].version == 17
    assert model.ir_version == 8
    assert [entry.key for entry in model.metadata_props] == ["model_source"]
    shapes = {value.name: value for value in model.graph.value_info}
    shapes.update({value.name: value for value in (*model.graph.input, *model.graph.output)})
    for entry in model.graph.node:
        dims = shapes[entry.output[0]].type.tensor_type.shape.dim
        assert all(dim.dim_value > 0 for dim in dims), entry.name


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_every_activation_has_its_pair(part: str, kind: int) -> None:
    """Input, output and every layer; nothing between a layer and its rectifier."""
    _, model = made(part, kind)
    makers = {name: entry for entry in model.graph.node for name in entry.output}
    kinds = [entry.op_type for entry in model.graph.node]
    assert kinds[:2] == list(PAIR)
    assert makers[model.graph.output[0].name].op_type == "DequantizeLinear"
    for entry in model.graph.node:
        if entry.op_type in {"Conv", "Add", "MaxPool", "GlobalAveragePool", "Flatten", "Gemm"}:
            assert {makers[name].op_type for name in entry.input} == {"DequantizeLinear"}
        if entry.op_type == "Relu":
            assert makers[entry.input[0]].op_type in {"Conv", "Add"}
    assert kinds.count("Relu") == 3


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_weights_are_int8_and_biases_int32_without_quantizers(part: str, kind: int) -> None:
    """DequantizeLinear alone; bias scale is input scale times weight scale."""
    graph, model = made(part, kind)
    initializers = {tensor.name for tensor in model.graph.initializer}
    quantizers = [entry for entry in model.graph.node if entry.op_type == "QuantizeLinear"]
    assert not any(entry.input[0] in initializers for entry in quantizers)
    for layer in graph.nodes:
        if layer.op not in (Op.CONV, Op.LINEAR):
            continue
        weights, bias = (node(model, f"{name}_dequantized") for name in layer.inputs[1:])
        codes = initializer(model, weights.input[0])
        assert codes.dtype == np.int8
        assert np.array_equal(codes, graph.constants[layer.inputs[1]])
        assert initializer(model, bias.input[0]).dtype == np.int32
        for entry in (weights, bias):
            scale = initializer(model, entry.input[1])
            axes = [item.i for item in entry.attribute if item.name == "axis"]
            assert (scale.shape, axes) == (((len(codes),), [0]) if kind == 4 else ((), []))
            assert not initializer(model, entry.input[2]).any()
        x = graph.tensors[layer.inputs[0]].format.scale.values()[0]
        product = x * initializer(model, weights.input[1]).astype(np.float64)
        assert np.array_equal(initializer(model, bias.input[1]), product.astype(np.float32))
    gemm = next(entry for entry in model.graph.node if entry.op_type == "Gemm")
    assert [item.i for item in gemm.attribute if item.name == "transB"] == [1]


def test_asymmetric_averages_reuse_the_scale_they_read() -> None:
    """As maxima and flattening do, in the prequantized form of scale type 4."""
    _, model = made("am68a", 4)
    for name, source in (("pool", "stem.norm.relu"), ("mean", "join.relu"), ("head.flat", "mean")):
        for part in ("scale", "zero"):
            before = initializer(model, f"{source}_{part}")
            assert np.array_equal(initializer(model, f"{name}_{part}"), before)


def test_powers_of_two_lose_no_bit() -> None:
    """Non-negative tensors are uint8 and signed ones int8, both with zero point 0."""
    graph, model = made("tda4vm", 1)
    for name, expected in (("join.relu", np.uint8), ("pool", np.uint8), ("b", np.int8)):
        zero = initializer(model, f"{name}_zero")
        assert (zero.dtype, int(zero)) == (expected, 0)
        assert np.frexp(initializer(model, f"{name}_scale"))[0] == 0.5
        assert graph.tensors[name].format.signed == (expected is np.int8)


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_zeros_in_the_file_are_the_masks(part: str, kind: int) -> None:
    """Every pruned weight is code 0 in the file, and only what rounds to 0 joins them."""
    network = classifier(zeros=0.7)
    graph, model = made(part, kind, network)
    folded = fold(network)
    for layer in folded.nodes:
        if layer.op is not Op.CONV:
            continue
        name = graph.node(layer.name).inputs[1]
        codes = initializer(model, f"{name}_quantized")
        mask = folded.constants[name] == 0
        assert 0.6 < mask.mean() < 0.8
        steps = graph.tensors[name].format.scale.values().reshape(-1, 1, 1, 1)
        below = np.abs(folded.constants[name]) <= steps / 2
        assert not codes[mask].any()
        assert np.array_equal(codes == 0, below)


def test_equal_graphs_give_equal_bytes(tmp_path: Path) -> None:
    """Written twice, in one process, to the last bit."""
    graph, _ = made("am68a", 4)
    write_qdq(graph, tmp_path / "a.onnx")
    write_qdq(graph, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert onnx.load(str(tmp_path / "a.onnx")).metadata_props[0].value.startswith("nibblefit_")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_qdq(graph, tmp_path / "missing" / "a.onnx")


def test_the_exporter_can_be_named() -> None:
    """For tools that look for a certain one."""
    graph, _ = made("am68a", 4)
    model = to_qdq(graph, model_source="edgeai_torchmodelopt_11.1.0")
    assert model.metadata_props[0].value == "edgeai_torchmodelopt_11.1.0"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"quantization_scale_type": 0}, "quantization_scale_type is 0"),
        ({"quantization_scale_type": 4, "tensor_bits": 16}, "'x' has 16 bits"),
        ({"quantization_scale_type": 4, "params_16bit_names": ["a"]}, "'a.weight' has 16 bits"),
    ],
)
def test_other_quantizations_are_refused(options: dict[str, object], reason: str) -> None:
    """With every reason, and what to do instead."""
    graph = quantized(classifier(), **options).graph
    with pytest.raises(UnsupportedError, match=reason) as caught:
        to_qdq(graph)
    assert "calibrate the float model" in caught.value.hint


def test_layers_without_a_form_are_all_listed() -> None:
    """Batch norms of their own, and matrices in linear layers."""
    net = Net((2, 4, 4))
    gate = net.norm(net.add(Op.ABS, [net.conv(net.x, 2, "c")], "size"), "gate")
    flat = net.add(Op.RESHAPE, [gate], "rows", shape=(4, 8))
    weight = net.constant("l.weight", net.random.normal(size=(3, 8)))
    graph = quantized(net.finish(net.builder.add(Op.LINEAR, [flat, weight], "l"))).graph
    with pytest.raises(UnsupportedError) as caught:
        to_qdq(graph)
    assert "'gate'" in str(caught.value)
    assert "'l' (linear) takes a tensor of 2 axes" in str(caught.value)


def test_most_operators_have_a_form() -> None:
    """The network of every operator passes ONNX's checker."""
    for part, kind in MODES:
        _, model = made(part, kind, everything())
        assert {"Clip", "Concat", "Split", "ConvTranspose", "MatMul", "ArgMax"} <= {
            entry.op_type for entry in model.graph.node
        }


def _read_index() -> QuantizedGraph:
    """Return a graph whose index another layer reads."""
    net = Net((3, 4, 4))
    index = net.add(Op.ARGMAX, [net.x], "index", axis=1, keepdims=True)
    graph = quantized(net.finish(index)).graph
    moved = QuantizedNode("again", Op.FLATTEN, ("index",), ("again",), {"start_axis": 1})
    tensors = {**graph.tensors, "again": replace(graph.tensors["index"], name="again", shape=(16,))}
    return replace(graph, nodes=(*graph.nodes, moved), tensors=tensors, outputs=("again",))


def _padded_average() -> QuantizedGraph:
    net = Net((3, 5, 5))
    pool = net.add(Op.AVG_POOL, [net.x], "pool", kernel=(2, 2), strides=(2, 2), pads=(1,) * 4,
                   ceil_mode=True, count_include_pad=True)  # fmt: skip
    return quantized(net.finish(pool)).graph


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (_read_index, "'index' .* is read by another layer"),
        (_padded_average, "'pool' .* counts padding and partial windows"),
        (lambda: replace(quantized(classifier()).graph, target="generic"), "for target 'generic'"),
    ],
)
def test_graphs_that_qdq_cannot_say_are_refused(
    graph: Callable[[], QuantizedGraph], reason: str
) -> None:
    """By layer, with the reason."""
    with pytest.raises(UnsupportedError, match=reason):
        to_qdq(graph())


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_rectifiers_that_stand_alone_or_bound_one_side_keep_their_codes(
    part: str, kind: int
) -> None:
    """A clip from below, a ReLU behind a maximum, and one behind a sum of rectified tensors."""
    net = Net((3, 6, 6))
    below = net.add(Op.CLIP, [net.conv(net.x, 4, "a")], "below", lo=-0.1, hi=None)
    pool = net.add(Op.MAX_POOL, [below], "pool", kernel=(2, 2), strides=(2, 2), pads=(0,) * 4)
    alone = net.relu(pool)
    both = net.relu(net.add(Op.ADD, [alone, alone], "twice"))
    network = net.finish(net.add(Op.CLIP, [both], "top", lo=0.0, hi=0.3))
    graph, model = made(part, kind, network, batch=8)
    kinds = [entry.op_type for entry in model.graph.node]
    # With zero points the clips' bounds are the ends of the codes: saturation is the clip.
    assert kinds.count("Clip") == (2 if kind == 1 else 0)
    found = compare(graph, model, {"x": samples(network, 8)})
    assert found.total.unexplained == 0


def test_biases_beyond_32_bits_are_refused() -> None:
    """The layer is named."""
    graph, _ = made("am68a", 4)
    huge = np.full(8, 1 << 40)
    with pytest.raises(UnsupportedError, match=r"'a': bias .* exceeds int32"):
        to_qdq(replace(graph, constants={**graph.constants, "a.bias": huge}))
