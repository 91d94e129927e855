"""Every example network: captured exactly, trainable, exportable."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests.core.nn.equality import assert_same, random_inputs, relative

from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.nn.rewrite import fold_batch_norm, remove_dropout

EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "networks").glob("*.py"))


def load(path: Path):
    """Import an example file."""
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def warmed(module, shape):
    """Give batch norms statistics that are not zero and one."""
    torch.manual_seed(1)
    module.train()
    for _ in range(2):
        module(torch.randn(4, *shape))
    return module.eval()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_is_captured_exactly_and_survives_every_way(path, tmp_path):
    """Capture, folding, ONNX out and in, and ONNX Runtime all compute the module's numbers."""
    example = load(path)
    module = warmed(example.build(), example.INPUT_SHAPE)
    graph = capture(module, example.INPUT_SHAPE, name=path.stem)
    assert_same(graph, module)

    folded = fold_batch_norm(remove_dropout(graph))
    inputs = random_inputs(graph)
    tensors = [torch.from_numpy(x) for x in inputs.values()]
    wide = graph.with_constants({n: c.astype(np.float64) for n, c in graph.constants.items()})
    exact = fold_batch_norm(remove_dropout(wide))
    assert not [node for node in folded.nodes if node.op == "batch_norm"]
    with torch.no_grad():
        expected = Network(graph, torch.float64).eval()(*tensors)
        for one, other in zip(Network(exact, torch.float64).eval()(*tensors), expected):
            assert relative(one.numpy(), other.numpy()) <= 1e-9

    file = tmp_path / "net.onnx"
    export_onnx(graph, file)
    again = import_onnx(file)
    assert again.nodes == graph.nodes
    assert again.shapes == graph.shapes
    assert again.outputs == graph.outputs
    assert set(again.constants) == set(graph.constants)
    session = onnxruntime.InferenceSession(file)
    found = session.run(None, {n: x.astype(np.float32) for n, x in inputs.items()})
    for one, other in zip(found, expected):
        assert relative(one, other.numpy()) <= 1e-5


def test_shared_weights_exist_once():
    """A module used several times has one constant, and one parameter with summed gradients."""
    example = load(next(p for p in EXAMPLES if p.stem == "reuse"))
    graph = capture(example.build(rounds=3), example.INPUT_SHAPE)
    users = [node.name for node in graph.nodes if "step.0.weight" in node.inputs]
    assert users == ["step.0", "step.0@2", "step.0@3"]
    network = Network(graph)
    names = [network.constant_name(name) for name, _ in network.named_parameters()]
    assert len(names) == len(set(names))
    assert names.count("step.0.weight") == 1
