"""The DPU's constants: the published table, and the search for every other pool."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, log2

import pytest
from tests.vitis.preparation.building import Building

from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    LEAKY_SLOPE,
    average_pool_reciprocal,
    pool_reciprocal,
    reciprocal,
)


def test_slope_and_sixth_are_the_published_numbers() -> None:
    """26/256 and 2731/16384, exactly."""
    assert Fraction(LEAKY_SLOPE) == Fraction(26, 256)
    assert Fraction(HARD_SIGMOID_FACTOR) == Fraction(2731, 16384)


@pytest.mark.parametrize(
    ("kernel", "factor"),
    [
        ((3, 3), Fraction(9 * 7, 64)),
        ((5, 5), Fraction(25 * 10, 256)),
        ((6, 6), Fraction(36 * 7, 256)),
        ((3, 6), Fraction(36 * 7, 256)),
        ((6, 3), Fraction(36 * 7, 256)),
        ((7, 7), Fraction(49 * 21, 1024)),
        ((14, 14), Fraction(196 * 21, 4096)),
        ((2, 2), Fraction(1)),
        ((8, 8), Fraction(1)),
    ],
)
def test_known_kernels_have_their_factor(kernel: tuple[int, int], factor: Fraction) -> None:
    """The factor on the exact mean is the one in the vendor's table; 1 for powers of two."""
    assert Fraction(average_pool_reciprocal(kernel).correction) == factor


def test_search_finds_the_nearest_of_all_pairs() -> None:
    """No multiplier and shift of the searched range is nearer, and no earlier one as near."""
    for count in range(1, 300):
        shifts = range(ceil(log2(128 * count)))
        errors = {
            (shift, multiplier): abs(Fraction(multiplier, 2**shift) - Fraction(1, count))
            for shift in shifts
            for multiplier in (2**shift // count, 2**shift // count + 1)
        }
        found = reciprocal(count)
        least = min(errors.values())
        assert errors[found.shift, found.multiplier] == least
        assert found.shift == min(shift for (shift, _), error in errors.items() if error == least)


def test_pools_of_a_graph_use_their_window() -> None:
    """A global pool has the whole image as its window; others their kernel."""
    net = Building((2, 7, 7))
    small = net.pool(net.x, "small", Op.AVG_POOL)
    net.add(Op.GLOBAL_AVG_POOL, [net.x], "whole")
    graph = net.finish(small, "whole")
    assert pool_reciprocal(graph, graph.node("small")).count == 4
    assert (pool_reciprocal(graph, graph.node("whole")).multiplier,
            pool_reciprocal(graph, graph.node("whole")).shift) == (21, 10)  # fmt: skip


def test_windows_of_other_dimensions_are_searched() -> None:
    """One or three axes have no table; their count decides."""
    assert average_pool_reciprocal((3,)) == reciprocal(3)
    assert average_pool_reciprocal((3, 3, 1)) == reciprocal(9)
