"""onnxruntime runs the written files and agrees with judge and engine but at ties."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from tests.core.quantization.networks import everything, inputs, sequences
from tests.core.targets.test_generic import _without_up

from nibblefit.engine import Engine
from nibblefit.errors import MismatchError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.network import Network
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.fold import fold
from nibblefit.quantization.qdq import agreement
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit.quantization.qdq.topology import representable, with_topology
from nibblefit.quantization.qdq.writing import qdq_model
from nibblefit.quantization.settings import settings
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.writing.comparing import compare
from nibblefit_tao.writing.stage import STYLE

DATA = inputs(8, (3, 8, 8))
NETWORKS: dict[str, Callable[[], Graph]] = {
    "everything": everything, "sequences": sequences, "without_up": _without_up,
}  # fmt: skip


def made(name: str, *, per_channel: bool = True) -> tuple[QuantizedGraph, onnx.ModelProto]:
    """Return a network's integers and its QDQ model."""
    numerics = numerics_of(per_channel=per_channel)
    network = representable(NETWORKS[name]())
    graph = quantize_network(network, numerics, [DATA], settings("minmax"), target="tao")
    graph = with_topology(graph, network)
    return graph, qdq_model(graph, numerics, {}, STYLE)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_difference_is_a_rounding_tie(name: str, per_channel: bool) -> None:
    """Each layer on the same integers; where it differs, a half lies within 1e-6 of its result."""
    pytest.importorskip("onnxruntime")
    graph, model = made(name, per_channel=per_channel)
    found = compare(graph, model, {"x": DATA})
    found.require_explained()
    total = found.total
    assert set(found.tensors) == {"x", *(n for node in graph.nodes for n in node.outputs)}
    assert total.count == sum(entry.count for entry in found.tensors.values()) > 15_000
    assert total.farthest < 1e-6
    # Averages and interpolations of codes are often exactly half a step.
    tied = {entry.tensor for entry in found.tensors.values() if entry.ties}
    assert tied == ({"ap", "up"} if name == "everything" else set())
    assert total.differing - total.inherited <= total.ties


@pytest.mark.parametrize("name", NETWORKS)
def test_the_float_file_is_the_float_network(name: str) -> None:
    """Batch norm folded, to float32's rounding, and no operator outside the standard."""
    pytest.importorskip("onnxruntime")
    network = NETWORKS[name]()
    model = to_onnx(fold(network))
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    found = run_onnx(model, {"x": DATA})
    with torch.inference_mode():
        wanted = Network(network).eval()(torch.from_numpy(DATA))
    for output, value in zip(network.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[output], value.numpy(), rtol=1e-4, atol=1e-5)


def test_a_wrong_scale_in_the_file_is_no_tie() -> None:
    """Codes that differ by more, or far from a half, are told by tensor."""
    pytest.importorskip("onnxruntime")
    graph, model = made("without_up")
    for item in model.graph.initializer:
        if item.name == "fc:scale":
            value = onnx.numpy_helper.to_array(item)
            item.CopyFrom(onnx.numpy_helper.from_array(np.float32(1.02) * value, item.name))
    found = compare(graph, model, {"x": DATA})
    assert found.tensors["fc"].unexplained > 0
    with pytest.raises(MismatchError, match=r"beyond rounding ties in 'fc' \(\d+\)"):
        found.require_explained()


def test_an_engine_that_differs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before onnxruntime is asked at all."""
    graph, model = made("without_up")

    class Wrong:
        def __init__(self, graph: QuantizedGraph) -> None:
            self.engine = Engine(graph)

        def run(self, codes: dict[str, IntArray], keep: Literal["all"]) -> object:
            found = self.engine.run(codes, keep=keep).tensors
            return SimpleNamespace(tensors={n: v + (n == "fc") for n, v in found.items()})

    monkeypatch.setattr(agreement, "Engine", Wrong)
    with pytest.raises(MismatchError, match="engine and judge differ in tensor"):
        compare(graph, model, {"x": DATA})
