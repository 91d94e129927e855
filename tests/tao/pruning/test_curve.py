"""The curve over thresholds equals cutting at each of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.pruning.networks import NETWORKS
from tests.core.pruning.random_networks import networks
from tests.core.pruning.test_cutting import assert_equal_outputs

from nibblefit.errors import LimitError, RecipeError
from nibblefit.ir.graph import Graph
from nibblefit.ir.macs import graph_macs
from nibblefit.nn.capture.entry import capture
from nibblefit.pruning.coupling import couple
from nibblefit.pruning.cutting import cut
from nibblefit_tao.pruning.curve import curve, parameters_of, solve, steps
from nibblefit_tao.pruning.decisions import decide, rank
from nibblefit_tao.pruning.settings import Criterion, Normalizer, PruneSettings

FINE = PruneSettings(granularity=1, min_filters=1)


def captured(name: str) -> Graph:
    """Return one of the hard networks."""
    torch.manual_seed(0)
    return capture(NETWORKS[name]().eval(), (3, 12, 12))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_curve_counts_what_cutting_leaves(name: str) -> None:
    """Parameters and MACs of the curve are those of the cut network, threshold by threshold."""
    coupling = couple(captured(name))
    rankings = rank(coupling, FINE)
    thresholds = np.linspace(0, 1, 12)
    found = curve(coupling, rankings, thresholds)
    for index, threshold in enumerate(thresholds):
        small = cut(decide(coupling, rankings, float(threshold)))
        assert found.parameters[index] == parameters_of(small)
        assert found.macs[index] == sum(graph_macs(small).values())
    assert found.whole == parameters_of(coupling.graph)
    assert found.whole_macs == sum(graph_macs(coupling.graph).values())
    assert found.ratios[0] >= found.ratios[-1]


def test_a_wanted_ratio_gives_the_smallest_threshold_that_reaches_it() -> None:
    """Solving for a ratio, for MACs and for bytes; a little less threshold leaves more."""
    coupling = couple(captured("AddDepthwise"))
    rankings = rank(coupling, FINE)
    threshold = solve(coupling, rankings, ratio=0.6)
    ratio = curve(coupling, rankings, [threshold, np.nextafter(threshold, 0) - 1e-6]).ratios
    assert ratio[1] <= 0.6 < ratio[0]
    small = cut(decide(coupling, rankings, solve(coupling, rankings, weight_bytes=2000)))
    assert parameters_of(small) * 4 <= 2000
    small = cut(decide(coupling, rankings, solve(coupling, rankings, macs=30_000)))
    assert sum(graph_macs(small).values()) <= 30_000


def test_an_unreachable_ratio_is_refused_with_what_can_be_reached() -> None:
    """The floor on filters holds; the error tells the smallest network and the knobs."""
    coupling = couple(captured("OutputSum"))
    with pytest.raises(LimitError, match=r"no threshold prunes that far: 1\.000 of the"):
        solve(coupling, rank(coupling, PruneSettings()), ratio=0.1)


def test_unknown_layers_are_refused_by_name() -> None:
    """An excluded layer that does not exist, and one with a threshold of its own."""
    coupling = couple(captured("OutputSum"))
    wrong = PruneSettings(excluded=("stam",), thresholds={"other*": 0.2})
    with pytest.raises(RecipeError) as error:
        rank(coupling, wrong)
    assert "'stam' matches no layer; did you mean 'stem'?" in str(error.value)
    assert "'other*' matches no layer" in str(error.value)


def test_layers_can_be_excluded_or_have_a_threshold_of_their_own() -> None:
    """An excluded layer keeps its whole group; its own threshold replaces the run's."""
    coupling = couple(captured("AddDepthwise"))
    (whole,) = rank(coupling, PruneSettings(excluded=("right",), granularity=1, min_filters=1))
    assert whole.whole == "'right' is excluded"
    assert whole.kept_count(0.99) == 16
    (own,) = rank(coupling, PruneSettings(thresholds={"*": 5.0, "left": 0.0}, granularity=1,
                                          min_filters=1))  # fmt: skip
    assert own.own == 0.0
    assert own.kept_count(9.0) == 16


@given(
    scores=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    granularity=st.integers(1, 9), least=st.integers(1, 20), threshold=st.floats(0, 1),
)  # fmt: skip
def test_the_rule_keeps_enough_and_the_best(
    scores: list[float], granularity: int, least: int, threshold: float
) -> None:
    """Against the rule in plain integers: count, multiples, floor, and no better filter goes."""
    from nibblefit.pruning.coupling import Group
    from nibblefit_tao.pruning.decisions import Ranking

    values = np.array(scores, dtype=np.float32)
    classes = np.arange(1, len(scores) + 1)
    order = np.argsort(-values, kind="stable")
    ranking = Ranking(Group((), classes, False), values, order, least, granularity, None, "")
    above = sum(1 for value in values if value > np.float32(threshold))
    wanted = max(above, min(least, len(scores)))
    while wanted % granularity and wanted < len(scores):
        wanted += 1
    assert ranking.kept_count(threshold) == wanted
    removed = set(ranking.removed(threshold).tolist())
    assert len(removed) == len(scores) - wanted
    worst = min(values[c - 1] for c in classes.tolist() if c not in removed)
    assert all(values[c - 1] <= worst for c in removed)


@settings(deadline=None)
@given(networks(), st.integers(3, 9), st.sampled_from(list(Criterion)),
       st.sampled_from(list(Normalizer)))  # fmt: skip
def test_any_network_is_pruned_and_none_refused(
    graph: Graph, tenths: int, criterion: Criterion, normalizer: Normalizer
) -> None:
    """Random networks are cut at any threshold, equal the masked ones, and larger keep a subset.

    50 networks in the quick suite, 1,000 in the long one.
    """
    coupling = couple(graph)
    rankings = rank(coupling, PruneSettings(normalizer, criterion, 2, min_filters=1))
    # A score of the network itself: thresholds from anywhere would mostly remove nothing.
    scores = steps(rankings)
    threshold = float(scores[tenths * (len(scores) - 1) // 10])
    what = decide(coupling, rankings, threshold)
    assert (parameters_of(cut(what)) < parameters_of(graph)) == bool(len(what.removed))
    assert_equal_outputs(what, torch.randn(2, 3, 6, 6, dtype=torch.float64,
                                           generator=torch.Generator().manual_seed(1)))  # fmt: skip
    more = decide(coupling, rankings, threshold / 2)
    assert not more.empty()
    for ranking in rankings:
        assert set(ranking.removed(threshold / 2)) <= set(ranking.removed(threshold))
