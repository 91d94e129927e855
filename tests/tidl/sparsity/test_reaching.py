"""What keeps a sparse stage from its target is known before training."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.networks import Net

from nibblefit.ir.graph import Graph
from nibblefit_tidl.sparsity.eligibility import convolutions
from nibblefit_tidl.sparsity.reaching import last_fraction, most_zeros, obstacles
from nibblefit_tidl.sparsity.schedule import Edition, Ramp, Schedule
from nibblefit_tidl.sparsity.settings import SparsityOptions


def _network(channels: int) -> Graph:
    net = Net((32, 6, 6))
    wide = net.conv(net.x, channels, "wide", bias=0.0)
    return net.finish(net.conv(wide, 4, "point", kernel=1, bias=0.0))


@given(
    edition=st.sampled_from(Edition),
    start=st.integers(0, 40),
    every=st.integers(1, 20),
    factors=st.tuples(st.sampled_from([0.0, 0.25, 0.6]), st.sampled_from([0.01, 0.05, 0.3])),
    steps=st.integers(0, 300),
)
def test_the_last_fraction_is_what_the_ramp_asks_for(
    edition: Edition, start: int, every: int, factors: tuple[float, float], steps: int
) -> None:
    """Counted in closed form as the ramp does it step by step, for every edition."""
    first, added = factors
    schedule = Schedule(0.8, start, first, every, added, edition)
    ramp = Ramp(schedule)
    asked = [ramp.ask(step, 0.0) for step in range(1, steps + 1)]
    fractions = [fraction for fraction in asked if fraction is not None]
    found = last_fraction(schedule, steps)
    if not fractions:
        assert found is None
    else:
        # A coarse ramp may stop short of the limit that the closed form cuts it at.
        assert found is not None
        assert -1e-5 <= found - max(fractions) < added


def test_a_ramp_that_fits_the_stage_is_no_obstacle() -> None:
    """Unset values reach the target in any stage of some length."""
    for steps in (20, 50, 844, 160_000):
        schedule = SparsityOptions().schedule(steps)
        assert obstacles(_network(64), schedule, steps) == []


@pytest.mark.parametrize(
    ("steps", "said"),
    [(10_000, "never begins"), (50_000, "ends at 29.0%"), (0, "0 iterations")],
)
def test_a_ramp_longer_than_the_stage_is_named(steps: int, said: str) -> None:
    """The vendor's numbers in a short stage: how far it gets, and what to change."""
    options = SparsityOptions(start_iter=20_000, step_iter=1000, step_factor=0.01)
    (line,) = obstacles(_network(64), options.schedule(steps), steps)
    assert said in line
    assert "instead of 80.0%" in line
    assert "give [train.sparse] more epochs" in line


def test_layers_that_cannot_be_sparse_are_an_obstacle() -> None:
    """The most that eligibility allows, counted over all weights."""
    graph = _network(16)  # narrow on one side: half of the fraction
    layers = convolutions(graph)
    assert most_zeros(layers, 0.9) == pytest.approx(0.45 * 4608 / (4608 + 64))
    (line,) = obstacles(graph, SparsityOptions().schedule(1000), 1000)
    assert line.startswith("at most 46.8% of the weights can become zero instead of 80.0%: ")
    assert "1% in layers never thresholded, 99% in layers narrow, which get half" in line
    assert obstacles(graph, SparsityOptions(target=0.1).schedule(1000), 1000) == []
