"""How two executions of one network are compared in these tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit.nn.network import Network


def random_inputs(graph: Graph, batch: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
    """Return normal random float64 inputs by name."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(batch, *graph.shapes[name])) for name in graph.inputs}


def relative(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference relative to the largest value of `other`."""
    assert one.shape == other.shape, (one.shape, other.shape)
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-300))


def flat(result: object) -> list[torch.Tensor]:
    """Return the tensors of a nested result."""
    if isinstance(result, torch.Tensor):
        return [result]
    values = result.values() if isinstance(result, dict) else result
    return [t for item in values for t in flat(item)]


def assert_same(graph: Graph, module: nn.Module, tolerance: float = 1e-9) -> None:
    """Hold numpy reference, torch network and original module together in float64."""
    check_graph(graph)
    inputs = random_inputs(graph, batch=3, seed=7)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            tensors = [torch.from_numpy(x) for x in inputs.values()]
            model = module.double().eval()
            expected = [t.double().numpy() for t in flat(model(*(t.clone() for t in tensors)))]
            network = Network(graph, dtype=torch.float64).eval()
            found = network.forward_all(*tensors)
    finally:
        torch.set_default_dtype(before)
    reference = run_float(graph, inputs)
    assert len(expected) == len(graph.outputs)
    for name, value in zip(graph.outputs, expected):
        assert relative(reference[name], value) <= tolerance, name
        assert relative(found[name].numpy(), value) <= tolerance, name
    for name, value in reference.items():
        assert relative(found[name].numpy(), value) <= tolerance, name
