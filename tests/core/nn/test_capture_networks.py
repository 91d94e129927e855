"""Networks built like well-known ones: captured, folded and exported exactly."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from tests.core.nn.equality import assert_same, random_inputs, relative
from tests.core.nn.lookalikes import INPUT_SHAPE, LOOKALIKES, build

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.legal import check_graph
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export import export_onnx, to_onnx
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.nn.rewrite import canonical, fold_batch_norm, remove_dropout


@pytest.mark.parametrize("name", LOOKALIKES)
def test_network_is_captured_exactly(name):
    """Graph and module agree to 1e-9 in float64."""
    module = build(name)
    assert_same(capture(module, INPUT_SHAPE, name=name), module)


@pytest.mark.parametrize("name", LOOKALIKES)
def test_folding_keeps_the_function(name):
    """Without batch norm and dropout the graph computes the same, in float64 to 1e-9."""
    graph = capture(build(name), INPUT_SHAPE)
    wide = graph.with_constants({n: c.astype(np.float64) for n, c in graph.constants.items()})
    folded = canonical(fold_batch_norm(remove_dropout(wide)))
    check_graph(folded)
    assert not {"batch_norm", "dropout"} & {node.op.value for node in folded.nodes}
    inputs = random_inputs(graph)
    expected, found = run_float(graph, inputs), run_float(folded, inputs)
    for one, other in zip(graph.outputs, folded.outputs):
        assert relative(found[other], expected[one]) <= 1e-9


@pytest.mark.parametrize("name", LOOKALIKES)
def test_onnx_round_trip_gives_the_same_function(name, tmp_path):
    """Our own file imports to the same numbers and constants; ONNX Runtime agrees."""
    graph = capture(build(name), INPUT_SHAPE)
    file = tmp_path / "net.onnx"
    export_onnx(graph, file)
    again = import_onnx(file)
    assert again.inputs == graph.inputs
    assert again.outputs == graph.outputs
    assert {n: c.shape for n, c in again.constants.items() if n in graph.constants} == {
        n: c.shape for n, c in graph.constants.items() if n in again.constants
    }
    inputs = {n: x.astype(np.float32) for n, x in random_inputs(graph).items()}
    expected, found = run_float(graph, inputs), run_float(again, inputs)
    session = onnxruntime.InferenceSession(file)
    for output, real in zip(graph.outputs, session.run(None, inputs)):
        assert relative(found[output], expected[output]) <= 1e-6
        assert relative(real, expected[output]) <= 1e-5


@pytest.mark.parametrize("name", LOOKALIKES)
def test_file_of_the_torch_exporter_is_imported(name, tmp_path):
    """A file written by torch.onnx.export gives the module's numbers."""
    module, file = build(name), tmp_path / "net.onnx"
    torch.onnx.export(
        module, (torch.randn(2, *INPUT_SHAPE),), file, dynamo=False, opset_version=17,
        input_names=["x"], dynamic_axes={"x": {0: "N"}}, do_constant_folding=name != "ssd",
    )  # fmt: skip
    graph = import_onnx(file)
    check_graph(graph)
    x = random_inputs(graph, batch=3)["x"]
    with torch.no_grad():
        result = module.double()(torch.from_numpy(x))
    values = list(result.values()) if isinstance(result, dict) else [result]
    found = run_float(graph, {"x": x})
    for output, value in zip(graph.outputs, values):
        assert relative(found[output], value.numpy()) <= 1e-5


def test_export_is_deterministic():
    """Equal graphs give equal bytes."""
    graphs = [capture(build("mobilenet_v2"), INPUT_SHAPE) for _ in range(2)]
    one, other = (to_onnx(g).SerializeToString(deterministic=True) for g in graphs)
    assert one == other


def test_network_round_trip_gives_the_same_graph():
    """Graph → trainable network → graph changes nothing."""
    graph = capture(build("prenorm"), INPUT_SHAPE)
    again = Network(graph).to_graph()
    assert again.nodes == graph.nodes
    for name, value in graph.constants.items():
        assert np.array_equal(again.constants[name], value), name
