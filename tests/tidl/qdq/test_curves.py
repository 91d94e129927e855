"""Functions, slopes, padding, interpolation and softmax between pairs: form, integers, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.tidl.current.executing import quantized
from tests.tidl.networks import Net, classifier, samples
from tests.tidl.qdq.models import MODES, curves, initializer, made, node

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.runner.artifact import check_read_back
from nibblefit_tidl.qdq.comparing import compare
from nibblefit_tidl.qdq.functions import FUNCTIONS
from nibblefit_tidl.qdq.linting.lint import lint_model
from nibblefit_tidl.qdq.reading import QDQ_TENSORS, graph_of
from nibblefit_tidl.qdq.writing import to_qdq


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_every_difference_of_curves_is_explained(part: str, kind: int) -> None:
    """The runtime computes the functions in float32, the judge by tables and factors."""
    pytest.importorskip("onnxruntime")
    graph, model = made(part, kind, curves(), batch=8)
    found = compare(graph, model, {"x": samples(curves(), 8)})
    found.require_explained()
    for name in ("gate", "bent", "hard"):
        entry = found.tensors[name]
        assert entry.differing == entry.inherited  # tables are correctly rounded
    assert found.total.count > 100_000
    assert found.total.differing < 0.15 * found.total.count


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_curves_are_written_as_the_operators_they_are(part: str, kind: int) -> None:
    """Each with a pair in front and behind; the slope as int8, the pad's value in real units."""
    graph, model = made(part, kind, curves())
    kinds = [entry.op_type for entry in model.graph.node]
    for name in ("Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Pad",
                 "Resize", "Softmax"):  # fmt: skip
        assert kinds.count(name) == 1
    makers = {name: entry for entry in model.graph.node for name in entry.output}
    (prelu,) = [entry for entry in model.graph.node if entry.op_type == "PRelu"]
    slope = makers[prelu.input[1]]
    assert slope.op_type == "DequantizeLinear"
    assert initializer(model, slope.input[0]).dtype == np.int8
    assert initializer(model, slope.input[0]).shape == (8, 1, 1)
    step = float(graph.tensors["framed"].format.scale.values()[0])
    assert float(initializer(model, node(model, "framed_float").input[2])) == pytest.approx(
        0.25, abs=step / 2
    )
    assert not lint_model(model, part).errors


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_curves_are_read_back(part: str, kind: int) -> None:
    """The same integers, and the graph that is read can be written again to the same file."""
    graph, model = made(part, kind, curves())
    back = graph_of(model, "net")
    check_read_back(graph, back, "tidl", 3)
    noted = {name: found["op"] for name, found in back.metadata[FUNCTIONS].items()}
    assert noted == {name: found["op"] for name, found in graph.metadata[FUNCTIONS].items()}
    assert len(noted) == 5
    again = to_qdq(back)
    assert [n.op_type for n in again.graph.node] == [n.op_type for n in model.graph.node]
    pytest.importorskip("onnxruntime")
    inputs = {"x": samples(curves(), 1)}
    compare(back, model, inputs, back.metadata[QDQ_TENSORS]).require_explained()


def test_functions_without_a_name_are_refused() -> None:
    """A table alone does not say what it computes."""
    graph, _ = made("am68a", 4, curves())
    bare = replace(graph, metadata=frozen_mapping({**graph.metadata, FUNCTIONS: {}}))
    with pytest.raises(UnsupportedError, match="does not say which function") as caught:
        to_qdq(bare)
    assert "accuracy_level 1" in str(caught.value.hint)


def _normalized() -> Graph:
    net = Net((3, 8, 8))
    return net.finish(net.norm(net.add(Op.MAX_POOL, [net.x], "pool", kernel=(2, 2),
                                       strides=(2, 2), pads=(0,) * 4), "norm"))  # fmt: skip


@pytest.mark.parametrize(
    ("options", "graph", "reason"),
    [
        ({"tensor_bits": 16}, classifier(), "16 from opset 21 on, and the tools read up to 19"),
        ({"quantization_scale_type": 0}, classifier(), "no type for symmetric scales"),
        ({"quantization_scale_type": 3, "part": "am68a"}, classifier(), "TensorFlow Lite"),
        ({"output_feature_16bit_names": ("a",)}, classifier(), "16 from opset 21 on"),
        ({}, _normalized(), "put it behind a convolution"),
    ],
)
def test_what_the_importer_does_not_take_is_refused_with_its_reason(
    options: dict[str, object], graph: Graph, reason: str
) -> None:
    """Width, scale type, batch norms of their own; the remedy is the float form."""
    part = str(options.pop("part", "tda4vm"))
    found = quantized(graph, part, **options).graph
    with pytest.raises(UnsupportedError, match=reason) as caught:
        to_qdq(found)
    assert "let the tools calibrate the float model" in str(caught.value.hint)
