"""A torch network and an ONNX file of it take the same way and give the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.core.quantization.networks import inputs

from nibblefit.engine import Engine
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.compare import require_equal
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.nn.onnx_import import import_onnx
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.settings import settings
from nibblefit.targets.generic_options import GenericOptions, numerics_of


def _residual(root: Path) -> Graph:
    import importlib.util

    import torch

    spec = importlib.util.spec_from_file_location(
        "residual", root / "examples/networks/residual.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(3)
    network = module.build()
    network.train()
    with torch.no_grad():  # batch norm statistics that are not the initial ones
        network(torch.randn(32, *module.INPUT_SHAPE))
    return capture(network.eval(), module.INPUT_SHAPE)


@pytest.mark.parametrize("scales", ["power_of_two", "float"])
def test_torch_and_onnx_give_identical_integers(root: Path, tmp_path: Path, scales: str) -> None:
    """Same formats, same weights, same integers in judge and engine, on both ways."""
    direct = _residual(root)
    export_onnx(direct, tmp_path / "net.onnx")
    through = import_onnx(tmp_path / "net.onnx")
    shape = direct.shapes[direct.inputs[0]]
    data, numerics = inputs(12, shape), numerics_of(GenericOptions(scales=scales))
    one = quantize_network(direct, numerics, [data], settings())
    two = quantize_network(through, numerics, [data[:5], data[5:]], settings())
    results = []
    for graph in (one, two):
        (name,) = graph.inputs
        codes = {name: quantize(data, graph.tensors[name].format, numerics.inputs.rounding)}
        judged = reference.run(graph, codes)
        require_equal(judged.tensors, Engine(graph).run(codes, keep="all").tensors, graph)
        results.append(judged)
    for first, second in zip(one.outputs, two.outputs, strict=True):
        np.testing.assert_array_equal(results[0].outputs[first], results[1].outputs[second])
    assert len(one.nodes) == len(two.nodes)
    for a, b in zip(one.nodes, two.nodes, strict=True):
        np.testing.assert_array_equal(results[0].tensors[a.output], results[1].tensors[b.output])
        assert one.tensors[a.output].format == two.tensors[b.output].format
