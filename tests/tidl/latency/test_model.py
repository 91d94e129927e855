"""The latency model: work counted by hand, costs fitted, errors as stated."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.tidl_latency import derived
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.networks import Net

from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.latency.errors import mean_error, note, point_errors
from nibblefit_tidl.latency.fitting import TERMS, core_model, fit, non_negative
from nibblefit_tidl.latency.published import WORK, Core, Point, points
from nibblefit_tidl.latency.work import Work, layer_work, total

CORES: tuple[Core, ...] = ("eve", "dsp")


def test_work_by_hand() -> None:
    """A 3 × 3 and a 1 × 1 convolution, a joined pool, a concatenation, a classifier, softmax."""
    net = Net((2, 8, 8))
    a = net.add(Op.MAX_POOL, [net.relu(net.conv(net.x, 4, "a"))], "p", kernel=(2, 2),
                strides=(2, 2), pads=(0,) * 4)  # fmt: skip
    b = net.conv(a, 6, "b", kernel=1)
    joined = net.add(Op.CONCAT, [a, b], "cat", axis=1)
    scores = net.linear(joined, 5, "head")
    graph = fold(net.finish(net.add(Op.SOFTMAX, [scores], "soft", axis=1)))
    works = {layer.name: layer_work(graph, layer, 0.5) for layer in merged_layers(graph)}
    expected = {
        "a": Work(0.5 * 64 * 72e-6, 0.0, 0.5 * 72e-6, 64e-6),  # 8·8 pixels, 4·2·9 weights; 4·4·4
        "b": Work(0.0, 0.5 * 16 * 24e-6, 0.5 * 24e-6, 96e-6),
        "cat": Work(elements=160e-6, joins=1.0),
        "head.flat": Work(),
        "head": Work(weights=800e-6, elements=5e-6),
        "soft": Work(elements=5e-6, scores=5e-3),
    }
    assert works.keys() == expected.keys()
    for name, work in works.items():
        for term in Work.__slots__:
            wanted = getattr(expected[name], term)
            assert getattr(work, term) == pytest.approx(wanted, abs=1e-15), (name, term)
    assert total(works.values()).macs == pytest.approx(0.5 * (64 * 72 + 16 * 24) * 1e-6)


@pytest.mark.parametrize("key", sorted(WORK), ids=" ".join)
def test_published_work_follows_from_the_networks(key: tuple[str, str]) -> None:
    """What the fit is based on is what TI's networks ask at the published input sizes."""
    found = derived(*key)
    for term in Work.__slots__:
        assert getattr(WORK[key], term) == pytest.approx(getattr(found, term), rel=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_non_negative_least_squares(seed: int, terms: int) -> None:
    """The conditions of an optimum hold: no descent inside, none into the allowed side."""
    random = np.random.default_rng(seed)
    rows, wanted = random.normal(size=(6, terms)), random.normal(size=6)
    found = non_negative(rows, wanted)
    slope = rows.T @ (rows @ found - wanted)
    assert (found >= 0).all()
    assert np.abs(slope[found > 0]).max(initial=0.0) < 1e-9
    assert slope[found == 0].min(initial=0.0) > -1e-9


def test_a_model_is_recovered_from_its_own_latencies() -> None:
    """Latencies made from known costs give these costs, without error."""
    costs = {
        "window_macs": 0.1,
        "point_macs": 0.8,
        "weights": 40.0,
        "elements": 5.0,
        "scores": 60.0,
    }
    made = [
        Point(p.network, p.variant, "eve",
              sum(cost * getattr(p.work, term) for term, cost in costs.items()), p.work)
        for p in points("eve")
    ]  # fmt: skip
    assert dict(fit("eve", made).costs) == pytest.approx(costs, rel=1e-6)


@pytest.mark.parametrize("core", CORES)
def test_costs_are_physical(core: Core) -> None:
    """No cost is negative, and multiply-accumulates run below the core's peak.

    EVE: 16 a cycle at 650 MHz; C66x: 32 a cycle at 750 MHz (data sheets of the cores).
    """
    costs = core_model(core).costs
    assert tuple(costs) == TERMS[core]
    assert min(costs.values()) >= 0.0
    peak = {"eve": 16 * 650e6, "dsp": 32 * 750e6}[core]
    slowest = 1e6 / peak * 1e3
    assert costs.get("window_macs", costs.get("macs")) > slowest


@pytest.mark.parametrize(
    ("core", "residual", "left_out"), [("eve", 0.02, 0.07), ("dsp", 0.12, 0.22)]
)
def test_errors_are_what_the_manual_says(core: Core, residual: float, left_out: float) -> None:
    """Mean magnitudes; a model that has not seen a latency does worse than one that has."""
    found = point_errors(core)
    assert len(found) == 7
    seen, unseen = (
        mean_error([getattr(e, name) for e in found]) for name in ("residual", "left_out")
    )
    assert seen < residual
    assert seen < unseen < left_out
    assert f"{unseen:.1%}" in note(core)


def test_leaving_out_means_not_seeing() -> None:
    """The error of a point left out is that of a fit to the six others."""
    error = point_errors("eve")[3]
    others = [p for p in points("eve") if p != error.point]
    estimate = fit("eve", others).milliseconds(error.point.work)
    assert error.left_out == pytest.approx(estimate / error.point.milliseconds - 1)
    apart = [p for p in others if p.network != error.point.network]
    assert len(apart) == 5
    estimate = fit("eve", apart).milliseconds(error.point.work)
    assert error.network_left_out == pytest.approx(estimate / error.point.milliseconds - 1)
