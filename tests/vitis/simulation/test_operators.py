"""Operators as the DPU computes them, against plain loops and exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.execute import EXECUTE
from nibblefit_vitis.preparation.constants import average_pool_reciprocal, is_standard_gate
from nibblefit_vitis.simulation.operators import run_on_device


def _graph(op: Op, shape: tuple[int, ...], **attributes: object) -> Graph:
    builder = GraphBuilder("net")
    x = builder.add_input("x", shape)
    return builder.finish([builder.add(op, [x], "y", **attributes)])


def _run(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    (node,) = graph.nodes
    (found,) = run_on_device(graph, node, [x])
    return found


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_average_pools_are_sums_times_the_fixed_factor(axes: int) -> None:
    """Exactly, in float64, padding counted as zeros."""
    size, kernel = (5,) * axes, (3,) * axes
    graph = _graph(Op.AVG_POOL, (1, *size), kernel=kernel, strides=(2,) * axes,
                   pads=(1,) * (2 * axes), count_include_pad=True)  # fmt: skip
    x = torch.from_numpy(np.random.default_rng(axes).integers(-128, 128, (1, 1, *size)))
    found = _run(graph, x.double())
    factor = average_pool_reciprocal(kernel)
    wide = np.pad(x.numpy()[0, 0], 1)
    for place in np.ndindex(*found.shape[2:]):
        window = wide[tuple(slice(2 * p, 2 * p + 3) for p in place)]
        expected = Fraction(int(window.sum()) * factor.multiplier, 2**factor.shift)
        assert Fraction(float(found[0, 0][place])) == expected


@pytest.mark.parametrize("more", [{"count_include_pad": False, "pads": (1, 1, 1, 1)},
                                  {"count_include_pad": True, "ceil_mode": True}])  # fmt: skip
def test_pools_with_uneven_windows_scale_the_mean(more: dict[str, object]) -> None:
    """Where windows differ in size, the exact mean takes the factor of a whole window."""
    graph = _graph(Op.AVG_POOL, (2, 6, 6), kernel=(3, 3), strides=(2, 2), **more)
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    mean = EXECUTE[Op.AVG_POOL](graph.nodes[0].attributes, [x])
    assert torch.allclose(_run(graph, x), mean * (63 / 64))


def test_global_averages_take_the_whole_image() -> None:
    """7 × 7 has its place in the vendor's table."""
    x = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    found = _run(_graph(Op.GLOBAL_AVG_POOL, (3, 7, 7)), x)
    assert torch.allclose(found, x.sum((2, 3), keepdim=True) * 21 / 1024)


def test_gates_use_the_fixed_sixth() -> None:
    """relu6(x + 3) · 2731 / 16384; inside a hard swish rounded to 1/128, half up."""
    x = torch.arange(-40, 41, dtype=torch.float64) / 8
    x = x.reshape(1, 1, 9, 9)
    gate = (x + 3).clamp(0, 6) * 2731 / 16384
    assert torch.equal(_run(_graph(Op.HARD_SIGMOID, (1, 9, 9)), x), gate)
    rounded = torch.floor(gate * 128 + 0.5).clamp(max=127) / 128
    assert torch.equal(_run(_graph(Op.HARD_SWISH, (1, 9, 9)), x), x * rounded)


def test_other_gates_are_exact() -> None:
    """A hard sigmoid with a slope of its own is the float one."""
    x = torch.randn(1, 1, 6, 6)
    own = _graph(Op.HARD_SIGMOID, (1, 6, 6), alpha=0.2, beta=0.5)
    assert torch.allclose(_run(own, x), (0.2 * x + 0.5).clamp(0, 1))


def test_a_slope_in_decimals_is_the_sixth() -> None:
    """As files state it: everywhere the same gate, or preparation and simulation would disagree."""
    x = torch.arange(-40, 41, dtype=torch.float64).reshape(1, 1, 9, 9) / 8
    graph = _graph(Op.HARD_SIGMOID, (1, 9, 9), alpha=0.1666667, beta=0.5)
    assert torch.equal(_run(graph, x), (x + 3).clamp(0, 6) * 2731 / 16384)
    assert is_standard_gate(graph.nodes[0].attributes)
    assert not is_standard_gate({"alpha": 0.16667, "beta": 0.5})


def test_means_hit_the_ties_that_integers_hit() -> None:
    """Sums of 3 × 3 codes whose average, 4 bits finer, lies on a tie: each is rounded up."""
    graph = _graph(Op.AVG_POOL, (1, 3, 3), kernel=(3, 3), strides=(3, 3), pads=(0, 0, 0, 0),
                   count_include_pad=True)  # fmt: skip
    for total in range(-1152, 1144, 2):
        codes = np.full(9, total // 9)
        codes[: total % 9] += 1
        found = _run(graph, torch.from_numpy(codes.reshape(1, 1, 3, 3)).double())
        assert Fraction(float(found)) == Fraction(total * 7, 64)
