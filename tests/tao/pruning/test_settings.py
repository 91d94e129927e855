"""What a pruning may be asked to do: every setting has an effect or is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nibblefit.errors import InputError, LimitError
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit_tao.pruning.module import prune_graph, prune_module
from nibblefit_tao.pruning.settings import Criterion, Goal, Normalizer, PruneSettings

SHAPE = (3, 8, 8)


class Joined(nn.Module):
    """Two layers of 32 filters that are added, with norms spread over two decades."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.left, self.right = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(3, 32, 1)
        self.norm, self.up = nn.BatchNorm2d(32), nn.ConvTranspose2d(32, 24, 2, 2)
        self.head = nn.Conv2d(24, 4, 1)
        for layer in (self.left, self.right):
            layer.weight.data *= torch.logspace(-2, 0, 32)[torch.randperm(32)].view(-1, 1, 1, 1)
        self.norm.weight.data.uniform_(0.01, 1)
        self.up.weight.data *= torch.logspace(-2, 0, 24).view(1, -1, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return an image."""
        y = torch.relu(self.norm(self.left(x))) + self.right(x)
        return self.head(torch.relu(self.up(y)))


@pytest.fixture(scope="module")
def graph() -> Graph:
    """The network as a graph."""
    return capture(Joined().eval(), SHAPE)


@pytest.mark.parametrize(
    "changes",
    [
        {"normalizer": Normalizer.L2},
        {"normalizer": "off"},
        {"criterion": Criterion.INTERSECTION},
        {"criterion": "arithmetic_mean"},
        {"criterion": Criterion.GEOMETRIC_MEAN},
        {"granularity": 1},
        {"threshold": 0.4},
        {"min_filters": 30},
        {"excluded": ("left",)},
        {"thresholds": {"left": 0.9}},
        {"batch_norm": True},
        {"transposed": True},
    ],
    ids=str,
)
def test_every_setting_changes_what_is_pruned(graph: Graph, changes: dict[str, Any]) -> None:
    """Against the same pruning with all other settings alike."""
    base = {"threshold": 0.2, "granularity": 8, "min_filters": 4}
    plain = prune_graph(graph, PruneSettings(**base))
    other = prune_graph(graph, PruneSettings(**{**base, **changes}))
    assert 0 < plain.ratio < 1
    assert plain.plan.layers != other.plan.layers


def test_batch_norm_scales_scores() -> None:
    """A filter that batch norm switches off is the first to go, whatever its kernel."""
    network = Joined().eval()
    with torch.no_grad():
        network.right.weight.zero_()
        network.norm.weight.fill_(1.0)
        strongest = int(network.left.weight.square().sum((1, 2, 3)).argmax())
        network.norm.weight[strongest] = 0.0
    kept = {
        flag: prune_module(network, SHAPE, PruneSettings(granularity=1, batch_norm=flag))
        .plan.layers["left"]
        for flag in (False, True)
    }  # fmt: skip
    assert strongest in kept[False]
    assert strongest not in kept[True]


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_weights_without_a_norm_are_refused_by_layer(value: float) -> None:
    """One line with layer and filter."""
    network = Joined().eval()
    with torch.no_grad():
        network.right.weight[5, 0, 0, 0] = value
    with pytest.raises(InputError, match="filter 5 of layer 'right' has no finite norm"):
        prune_module(network, SHAPE)


def test_a_layer_of_zeros_is_pruned_to_its_least_number() -> None:
    """TAO divides by zero here; all scores are zero, and the first filters stay."""
    network = Joined().eval()
    with torch.no_grad():
        network.left.weight.zero_()
        network.right.weight.zero_()
    settings = PruneSettings(transposed=True, granularity=1, min_filters=5)
    assert prune_module(network, SHAPE, settings).plan.layers["left"] == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threshold": math.nan}, "threshold is nan"),
        ({"threshold": -0.1}, "threshold is -0.1"),
        ({"thresholds": {"a*": math.inf}}, r"threshold of 'a\*' is inf"),
        ({"granularity": 0}, "granularity is 0"),
        ({"min_filters": -1}, "min_filters is -1"),
        ({"normalizer": "L3"}, "'L3' is no normalizer"),
        ({"criterion": "mean"}, "'mean' is no criterion"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], words: str) -> None:
    """Before any network is looked at."""
    with pytest.raises(InputError, match=words):
        PruneSettings(**changes)


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        ({"ratio": 0.5, "macs": 9}, "ratio and macs contradict"),
        ({"ratio": 0.0}, "ratio of 0 cannot"),
        ({"ratio": math.nan}, "ratio of nan cannot"),
        ({"weight_bytes": 0}, "weight_bytes is 0"),
    ],
)
def test_impossible_goals_are_refused(goal: dict[str, Any], words: str) -> None:
    """One goal at a time, within its range."""
    with pytest.raises(InputError, match=words):
        Goal(**goal)


@pytest.mark.parametrize("threshold", [1.0, 2.5])
def test_a_threshold_that_would_empty_every_layer_is_refused(
    graph: Graph, threshold: float
) -> None:
    """Divided by the largest norm, no score is above 1; a ratio may still go as far."""
    with pytest.raises(LimitError, match=r"would empty every layer: the strongest filter scores 1"):
        prune_graph(graph, PruneSettings(threshold=threshold))
    with pytest.raises(InputError, match="a pruning ratio of 1 cannot"):
        prune_graph(graph, ratio=1)
    assert prune_graph(graph, PruneSettings(threshold=threshold), ratio=0.9).ratio <= 0.9


def test_names_of_choices_mean_the_choices(graph: Graph) -> None:
    """Plain strings prune as the members do."""
    plain = prune_graph(graph, PruneSettings(normalizer="max", criterion="union"))  # type: ignore[arg-type]
    assert plain.plan.layers == prune_graph(graph).plan.layers
    assert np.isclose(plain.ratio, prune_graph(graph).ratio)
