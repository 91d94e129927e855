"""The agreement every network must show: float with float, integers with integers, both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from tests.maxim.flow import Quantized, quantized
from tests.maxim.networks import captured, random_inputs
from torch import Tensor, nn

from nibblefit.engine import Engine
from nibblefit.ir import reference
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import Placement, QuantizedGraph
from nibblefit_maxim.hosting import add_host, host_from
from nibblefit_maxim.lift import lift
from nibblefit_maxim.lower import GraphBuilder
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, Part
from nibblefit_maxim.qat.network import QatNetwork


class Around(nn.Module):
    """A module around a function of some layers, ``m`` in the function."""

    def __init__(self, function: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module):
        super().__init__()
        self.m = nn.ModuleDict(layers)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(self.m, x)


def agree(
    network: nn.Module | Graph,
    shape: Sequence[int],
    *,
    part: Part = MAX78000,
    options: MaximOptions | None = None,
    overrides: dict | None = None,
    seed: int = 0,
) -> Quantized:
    """Capture, fuse and quantize; check every agreement; return what was made."""
    graph = network if isinstance(network, Graph) else captured(network, shape)
    x = random_inputs(shape, 3, seed)
    done = quantized(graph, x, part=part, options=options, overrides=overrides)
    _floats_agree(graph, done, x)
    codes = np.concatenate([done.codes(x), _extremes(shape)])
    integers_agree(done, codes)
    return done


def _extremes(shape: Sequence[int]) -> np.ndarray:
    size = int(np.prod(shape))
    rows = [np.full(size, -128), np.full(size, 127), np.where(np.arange(size) % 2, -128, 127)]
    return np.stack(rows).reshape(3, *shape).astype(np.int64)


def _floats_agree(graph: Graph, done: Quantized, x: np.ndarray) -> None:
    """The fused layers, executed in float64, equal the folded network to 1e-9 relative."""
    plain = QatNetwork(done.float_graph, done.fused, {}, {}, quantized=False).double().eval()
    with torch.no_grad():
        found = plain(torch.from_numpy(x.astype(np.float64)))
    folded = run_float(done.float_graph, {graph.inputs[0]: x})
    has_words = any(node.op in (Op.OR, Op.XOR) for node in graph.nodes)
    for value, name, original in zip(found, done.float_graph.outputs, graph.outputs, strict=True):
        _close(value.numpy(), folded[name], 1e-9)
        if has_words:
            continue  # the last digit of a folded weight may turn a word over
        # Folding rounds the new weights to float32 once.
        _close(value.numpy(), run_float(graph, {graph.inputs[0]: x})[original], 1e-4)


def _close(found: np.ndarray, expected: np.ndarray, share: float) -> None:
    assert found.shape == expected.shape
    size = max(float(np.abs(expected).max(initial=0.0)), 1e-3)
    assert float(np.abs(found - expected).max(initial=0.0)) <= share * size


def integers_agree(done: Quantized, codes: np.ndarray) -> None:
    """Judge, engine, training's simulation and the graph that was lifted and lowered agree."""
    graph = done.graph
    inputs = {graph.inputs[0]: codes}
    judged = reference.run(graph, inputs).tensors
    fast = Engine(graph).run(inputs, keep="all").tensors
    for name, expected in judged.items():
        assert np.array_equal(fast[name], expected), f"engine: {name}"
    simulated = done.simulation(torch.from_numpy(codes))
    missing = {*graph.outputs, *(item.layer.tensor for item in lift(graph))} - simulated.keys()
    assert not missing, missing
    for name in simulated.keys() & judged.keys():
        assert np.array_equal(simulated[name].numpy(), judged[name]), f"simulation: {name}"
    again = reference.run(relowered(graph), inputs).tensors
    for item in lift(graph):
        name = item.layer.tensor
        assert np.array_equal(again[name], judged[name]), f"lifted: {name}"
    for name in graph.outputs:
        assert np.array_equal(again[name], judged[name]), f"lifted: {name}"


def relowered(graph: QuantizedGraph) -> QuantizedGraph:
    """Return the graph made again from the layers that were lifted from it."""
    builder = GraphBuilder(graph.name)
    for name in graph.inputs:
        builder.add_input(name, graph.tensors[name].shape, builder_frac(graph, name))
    for item in lift(graph):
        builder.add_layer(item)
    outputs = list(graph.outputs)
    if "host" in graph.metadata:
        outputs = add_host(builder, *host_from(graph.metadata["host"]))
    else:
        hosted = [node.name for node in graph.nodes if node.placement is Placement.HOST]
        assert not hosted
    return builder.finish(outputs, graph.metadata)


def builder_frac(graph: QuantizedGraph, name: str) -> int:
    """Return the fractional bits of a tensor."""
    frac = graph.tensors[name].format.scale.frac
    assert frac is not None
    return frac[0]
