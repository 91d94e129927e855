"""Entropy calibration: TensorRT's cut by brute force, and the formats that come of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.quantization.networks import Net, inputs

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.network import Network
from nibblefit.quantization.calibrate import observe
from nibblefit.quantization.settings import settings
from nibblefit_tao.calibration.formats import calibrated_formats
from nibblefit_tao.calibration.magnitudes import (
    BINS,
    count_magnitudes,
    divergences,
    entropy_cut,
)
from nibblefit_tao.numerics import numerics_of


def divergence(counts: list[int], cut: int, levels: int) -> float:
    """Return KL(P ‖ Q) of one cut, bin by bin."""
    p = [float(count) for count in counts[:cut]]
    p[-1] += sum(counts[cut:])
    q = [0.0] * cut
    for level in range(levels):
        bins = [k for k in range(cut) if k * levels // cut == level]
        used = [k for k in bins if p[k] > 0]
        for k in used:
            q[k] = sum(counts[j] for j in bins) / len(used)
    if any(a > 0 and b == 0 for a, b in zip(p, q, strict=True)):
        return math.inf
    all_p, all_q = sum(p), sum(q)
    return sum(
        a / all_p * math.log((a / all_p) / (b / all_q)) for a, b in zip(p, q, strict=True) if a > 0
    )


@given(
    st.lists(st.sampled_from([0, 0, 0, 1, 2, 5, 40, 1000]), min_size=8, max_size=48).filter(any),
    st.sampled_from([4, 8]),
)
def test_every_cut_has_the_divergence_of_the_definition(counts: list[int], levels: int) -> None:
    """To float64's rounding, infinite ones included; one of the smallest that leave 99 % wins."""
    found = divergences(np.array(counts), levels)
    wanted = [divergence(counts, cut, levels) for cut in range(levels, len(counts) + 1)]
    assert np.isinf(found).tolist() == np.isinf(wanted).tolist()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    chosen = entropy_cut(np.array(counts), levels)
    cuts = range(levels, len(counts) + 1)
    allowed = [value for cut, value in zip(cuts, wanted, strict=True)
               if 100 * sum(counts[cut:]) <= sum(counts)]  # fmt: skip
    assert 100 * sum(counts[chosen:]) <= sum(counts)
    assert wanted[chosen - levels] <= min(allowed) + 1e-9


def test_a_long_tail_is_cut_at_full_size() -> None:
    """2048 bins, 128 levels: some cuts bin by bin, the chosen one far below all bins."""
    random = np.random.default_rng(0)
    values = np.abs(random.standard_t(3, 200_000))
    counts, _ = np.histogram(values, BINS, range=(0.0, float(values.max())))
    found = divergences(counts)
    assert len(found) == BINS - 128 + 1
    for cut in (128, 129, 500, 1303, 2048):
        assert found[cut - 128] == pytest.approx(divergence(counts.tolist(), cut, 128), rel=1e-9)
    assert 128 <= entropy_cut(counts) < 1000


@pytest.mark.parametrize("grays", [4, 16])
def test_a_few_values_are_not_cut(grays: int) -> None:
    """Where every value has a level of its own nothing is gained by a cut."""
    counts = np.zeros(BINS, np.int64)
    places = np.minimum(np.arange(1, grays + 1) * BINS // grays, BINS - 1)
    counts[places] = np.arange(grays, 0, -1) * 100
    assert divergences(counts)[int(places[0]) + 1 - 128] == 0
    assert entropy_cut(counts) == BINS


@pytest.mark.parametrize("least", [0.25, 0.5, 0.9])
def test_values_far_from_zero_are_not_all_saturated(least: float) -> None:
    """A cut just above the smallest value has no divergence, and would leave one code."""
    values = np.random.default_rng(0).uniform(least, 1.0, 100_000)
    counts, _ = np.histogram(values, BINS, range=(0.0, 1.0))
    free = divergences(counts)
    assert 128 + int(free.argmin()) < BINS * least + 2
    assert entropy_cut(counts) > 0.98 * BINS


def network() -> Graph:
    """Return two convolutions, one of them always zero behind its rectifier."""
    net = Net((3, 8, 8))
    y = net.add(Op.RELU, [net.conv(net.x, 8, "c1")], "r1")
    dead = net.builder.add(Op.CLIP, [y], "dead", lo=0.0, hi=0.0)
    return net.builder.finish([net.conv(y, 4, "c2"), dead])


DATA = inputs(8, (3, 8, 8))


def test_magnitudes_are_counted_without_exact_zeros() -> None:
    """Each value in the bin of its magnitude, the largest in the last; nothing for zero tensors."""
    graph = network()
    with torch.inference_mode():
        real = Network(graph).eval().forward_all(torch.from_numpy(DATA))
    largest = {name: float(real[name].abs().max()) for name in ("x", "r1", "dead")}
    found = count_magnitudes(graph, [DATA[:5], DATA[5:]], largest)
    assert set(found) == {"x", "r1"}
    for name, counts in found.items():
        values = np.abs(real[name].numpy().astype(np.float64)).ravel()
        places = np.minimum(values[values > 0] * (BINS / largest[name]), BINS - 1).astype(int)
        np.testing.assert_array_equal(counts, np.bincount(places, minlength=BINS))


def test_each_method_has_its_scale() -> None:
    """Minmax max / 127, entropy cut / 127, both as float32; others and dead tensors are core's."""
    graph, numerics = network(), numerics_of()
    histograms = observe(graph, [DATA], ["x", "r1", "dead", "c2"])
    chosen = settings("entropy", layers={"c1": {"method": "minmax"}, "c2": {"method": "mse"}})
    found = calibrated_formats(graph, numerics, histograms, chosen, lambda: [DATA])
    assert set(found) == {"x", "r1"}
    most = {name: max(-histograms[name].lo, histograms[name].hi) for name in found}
    assert found["r1"].scale.values()[0] == np.float32(most["r1"] / 127)
    cut = entropy_cut(count_magnitudes(graph, [DATA], {"x": most["x"]})["x"])
    assert found["x"].scale.values()[0] == np.float32(most["x"] * cut / BINS / 127)
    assert all((f.bits, f.signed, f.zero_point) == (8, True, (0,)) for f in found.values())


def test_one_pass_is_enough_without_entropy() -> None:
    """The data is not read again."""
    graph = network()
    histograms = observe(graph, [DATA], ["x"])

    def again() -> list[np.ndarray]:  # type: ignore[type-arg]
        raise AssertionError("read twice")

    found = calibrated_formats(graph, numerics_of(), histograms, settings("minmax"), again)
    assert set(found) == {"x"}
