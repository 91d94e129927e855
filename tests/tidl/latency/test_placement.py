"""The placement of layers on EVE and DSP: the best of all, contiguous, as the importer lists it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.networks import Net, classifier

from nibblefit.errors import RecipeError
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit_tidl.devices import CLASSIC_DEVICES, TDA3X
from nibblefit_tidl.latency.fitting import core_model
from nibblefit_tidl.latency.placement import DSP, EVE, best_groups, handovers, placement
from nibblefit_tidl.latency.timing import LayerTime, layer_times

_MS = st.floats(0.0, 10.0)
#: EVE, DSP and handing over, for up to seven layers.
_LAYERS = st.lists(st.tuples(_MS, _MS, _MS), min_size=1, max_size=7)


def _times(rows: list[tuple[float, float, float]]) -> tuple[list[LayerTime], list[float]]:
    layer: Any = None  # the search looks at times alone
    return [LayerTime(layer, eve, dsp) for eve, dsp, _ in rows], [cost for *_, cost in rows]


@given(_LAYERS)
def test_the_best_of_all_placements_is_found(rows: list[tuple[float, float, float]]) -> None:
    """Every list of groups that changes at most once is tried by brute force."""
    times, handover = _times(rows)
    costs = []
    for groups in product((EVE, DSP), repeat=len(rows)):
        changes = [i for i in range(1, len(rows)) if groups[i] != groups[i - 1]]
        if len(changes) <= 1:
            run = sum(t.eve if g == EVE else t.dsp for t, g in zip(times, groups, strict=True))
            costs.append(run + sum(handover[i] for i in changes))
    groups_found, latency = best_groups(times, handover)
    assert latency == pytest.approx(min(costs))
    assert sum(a != b for a, b in pairwise(groups_found)) <= 1


def test_one_core_is_enough() -> None:
    """Where only one core may be used, its times add up."""
    times, handover = _times([(1.0, 0.1, 0.0), (2.0, 0.1, 0.0)])
    assert best_groups(times, handover, [EVE]) == ([EVE, EVE], 3.0)


def test_softmax_moves_to_the_dsp() -> None:
    """EVE emulates floating point, so a network that ends in a large softmax changes cores."""
    net = Net((8, 64, 64))
    x = net.add(Op.GLOBAL_AVG_POOL, [net.relu(net.conv(net.x, 32, "a", kernel=5))], "mean")
    graph = net.finish(net.add(Op.SOFTMAX, [net.linear(x, 1000, "head")], "soft", axis=1))
    found = placement(graph, "am5729")
    assert found.groups["a"] == EVE
    assert found.groups["soft"] == DSP
    assert found.group_ids[0] == found.group_ids[-1] == 0
    assert len(found.group_ids) == len(found.groups) + 2
    times = layer_times(fold(graph))
    assert found.milliseconds < min(sum(t.eve for t in times), sum(t.dsp for t in times))


def test_what_crosses_is_paid_for() -> None:
    """Changing cores in a residual block hands over two tensors, behind it one."""
    graph = fold(classifier())
    times = layer_times(graph)
    costs = dict(zip((t.layer.name for t in times), handovers(graph, times), strict=True))
    per_element = core_model("eve").costs["elements"] / 1e6
    assert costs["stem"] == 0.0
    assert costs["a"] == pytest.approx(8 * 36 * per_element)  # the pooled map
    assert costs["b"] == pytest.approx(2 * 8 * 36 * per_element)  # and the branch
    assert costs["head"] == pytest.approx(8 * per_element)


def test_zeros_and_kernels() -> None:
    """The DSP skips zeros always, EVE in the sparse kernel alone."""
    dense, sparse = (fold(classifier(zeros=z)) for z in (0.0, 0.8))
    before, after = layer_times(dense, "sparse"), layer_times(sparse, "sparse")
    assert after[0].eve < before[0].eve
    assert after[0].dsp < before[0].dsp
    automatic = layer_times(sparse)  # maps of 12 × 12 run dense
    assert automatic[0].eve == pytest.approx(before[0].eve)
    assert automatic[0].dsp == after[0].dsp


def test_devices() -> None:
    """By name or object; a device without EVE leaves the DSP; unknown layers are refused."""
    graph = classifier()
    assert placement(graph).groups == placement(graph, CLASSIC_DEVICES["am5749"]).groups
    lone = placement(graph, replace(TDA3X, eves=0))
    assert set(lone.groups.values()) == {DSP}
    assert np.isfinite(lone.milliseconds)
    with pytest.raises(RecipeError, match="do not exist"):
        placement(graph, "tda2x", {"nothing": "dense"})
    with pytest.raises(RecipeError, match="no part 'am9999'"):
        placement(graph, "am9999")
