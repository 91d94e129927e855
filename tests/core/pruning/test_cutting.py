"""Cutting channels out of whole networks: what is left computes what was left of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests.core.pruning.networks import NETWORKS

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit.nn.capture.entry import capture
from nibblefit.nn.network import Network
from nibblefit.pruning.classes import KEPT
from nibblefit.pruning.coupling import Coupling, couple
from nibblefit.pruning.cutting import Cut, cut, cut_of, masked

SHAPE = (3, 12, 12)


def captured(name: str) -> Graph:
    """Return one of the hard networks with seeded weights."""
    torch.manual_seed(0)
    return capture(NETWORKS[name]().eval(), SHAPE)


def outputs(graph: Graph, x: torch.Tensor) -> list[npt.NDArray[np.float64]]:
    """Return a float64 run of a graph."""
    with torch.no_grad():
        return [y.numpy() for y in Network(graph, torch.float64).eval()(x)]


def random_cut(coupling: Coupling, rng: np.random.Generator) -> Cut:
    """Return a cut of any number of classes of every group, never all of them."""
    removed = [
        rng.choice(group.classes, rng.integers(0, len(group.classes)), replace=False)
        for group in coupling.groups
    ]
    return Cut(coupling, np.sort(np.concatenate(removed)))


def assert_equal_outputs(what: Cut, x: torch.Tensor) -> None:
    """The cut graph is legal, and computes what the masked one does."""
    small = cut(what)
    check_graph(small)
    for ours, theirs in zip(outputs(small, x), outputs(masked(what), x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(1, abs(theirs).max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_cut_networks_compute_what_the_masked_ones_do(name: str) -> None:
    """Any choice of classes gives the masked network's outputs, with fewer weights."""
    graph = captured(name)
    coupling, rng = couple(graph), np.random.default_rng(1)
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=torch.manual_seed(1))
    sizes = set()
    for _ in range(8):
        what = random_cut(coupling, rng)
        if what.empty():
            continue
        assert_equal_outputs(what, x)
        small = cut(what)
        sizes.add(sum(value.size for value in small.constants.values()))
        shapes = {n: v.shape for n, v in small.constants.items()} | dict(small.shapes)
        assert what.sizes() == shapes
    assert len(sizes) > 3
    assert min(sizes) < sum(value.size for value in graph.constants.values())


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("AddDepthwise", {("left", "right", "deep"): 16}),
        ("ConcatAdd", {("a", "b", "wide"): 24}),
        ("Grouped", {("stem",): 4, ("grouped",): 8}),
        ("Shared", {("stem", "again"): 16}),
        ("Shuffled", {("stem",): 8, ("up", "excite"): 12, ("squeeze",): 4}),
        ("HardView", {("stem",): 16, ("first",): 20}),
        ("OutputSum", {("stem",): 16}),
    ],
)
def test_layers_that_depend_on_each_other_form_groups(
    name: str, groups: dict[tuple[str, ...], int]
) -> None:
    """Sums, concatenations, gates, depthwise and shared layers join; outputs never do."""
    found = {
        tuple(member.layer for member in group.members): len(group.classes)
        for group in couple(captured(name)).groups
    }
    assert found == groups


def test_output_channels_stay_whatever_stands_before_the_output() -> None:
    """A sum behind an activation protects both of its layers."""
    coupling = couple(captured("OutputSum"))
    for layer in ("left.weight", "right.weight"):
        assert np.all(coupling.slots[layer, 0] == KEPT)


def test_a_cut_that_empties_a_layer_is_refused() -> None:
    """The error names the tensor and what to change."""
    coupling = couple(captured("HardView"))
    what = Cut(coupling, coupling.group_of("first").classes)
    assert what.empty()
    with pytest.raises(UnsupportedError, match=r"would leave 'first.*without any channel"):
        cut(what)


def test_kept_indices_are_told_by_layer_and_by_constant() -> None:
    """A plan can be written from a cut: the filters that stay, ascending."""
    coupling = couple(captured("OutputSum"))
    group = coupling.group_of("stem")
    what = Cut(coupling, group.classes[[0, 5]])
    kept = [index for index in range(16) if index not in (0, 5)]
    assert what.layers()["stem"].tolist() == kept
    assert what.kept("stem.weight", 0).tolist() == kept
    assert what.kept("left.weight", 1).tolist() == kept
    assert what.kept("left.weight", 0).tolist() == list(range(8))
    with pytest.raises(KeyError):
        coupling.group_of("left")


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cut_is_found_again_from_the_filters_it_leaves(name: str) -> None:
    """Layers and kept filters say all there is to say."""
    coupling, rng = couple(captured(name)), np.random.default_rng(2)
    for _ in range(5):
        what = random_cut(coupling, rng)
        again = cut_of(coupling, {n: kept.tolist() for n, kept in what.layers().items()})
        assert again.removed.tolist() == what.removed.tolist()


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"stam": [0]}, "'stam', of which nothing can be removed; did you mean 'stem'"),
        ({"left": [0]}, "prunes 'left', of which nothing can be removed"),
        ({"stem": [0, 16]}, "keeps filters 16 of 'stem', which has 16"),
    ],
)
def test_a_plan_for_another_network_is_refused(layers: dict[str, list[int]], words: str) -> None:
    """One line that names the layer."""
    with pytest.raises(InputError, match=words):
        cut_of(couple(captured("OutputSum")), layers)


def test_a_plan_that_tears_coupled_layers_apart_is_refused() -> None:
    """Two sides of a sum cannot keep different filters."""
    layers = {"left": list(range(8)), "right": list(range(16))}
    with pytest.raises(InputError, match=r"removes filters of 'left' that belong to filters"):
        cut_of(couple(captured("AddDepthwise")), layers)
