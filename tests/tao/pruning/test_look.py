"""What is said before anything is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.core.pruning.networks import NETWORKS
from torch import nn

from nibblefit.charts import Curves, Distributions
from nibblefit.errors import LimitError
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.pruning.cutting import cut
from nibblefit_tao.looking.charts import charts_for
from nibblefit_tao.pruning.curve import parameters_of
from nibblefit_tao.pruning.decisions import decide
from nibblefit_tao.pruning.look import look_at, threshold_for, warnings_of
from nibblefit_tao.pruning.settings import Goal, PruneSettings


class Chain(nn.Module):
    """Six layers of 16 filters in a row, their norms evenly spread from 0.05 to 1."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 16, 3)
        self.layers = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(5))
        self.head = nn.Conv2d(16, 2, 1)
        for layer in (self.first, *self.layers):
            norms = layer.weight.data.square().sum((1, 2, 3), keepdim=True).sqrt()
            layer.weight.data *= torch.linspace(0.05, 1, 16).view(-1, 1, 1, 1) / norms

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return two maps."""
        y = torch.relu(self.first(x))
        for layer in self.layers:
            y = torch.relu(layer(y))
        return self.head(y)


@pytest.fixture(scope="module")
def chain() -> Graph:
    """The chain as a graph."""
    return capture(Chain().eval(), (3, 8, 8))


def settings(**changes: object) -> PruneSettings:
    """Return fine settings with changes."""
    return PruneSettings(granularity=1, min_filters=2, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({}, []),
        ({"first": 3.0}, ["no filter of 'first' scores above the threshold"]),
        ({"layers.0": 1.0, "first": 1.0, "layers.1": 2.0},
         ["no filter of 'first', 'layers.0', 'layers.1' scores above the threshold"]),
        ({"layers.*": 1.0}, ["5 of 6 groups of layers are cut down to their least number"]),
    ],
)  # fmt: skip
def test_layers_without_a_filter_above_their_threshold_are_named(
    chain: Graph, own: dict[str, float], told: list[str]
) -> None:
    """The least number of filters stays there, which is worth a warning."""
    found = warnings_of(look_at(chain, settings(thresholds=own)), 0.3)
    assert len(found) == len(told)
    assert all(words in warning for words, warning in zip(told, found, strict=True))


def test_many_layers_are_not_all_named() -> None:
    """Three by name, the others by their number."""
    network = nn.Sequential(*(nn.Conv2d(3 if i == 0 else 16, 16, 1) for i in range(12)))
    names = {str(i): 9.0 for i in range(5)}
    graph = capture(network.eval(), (3, 4, 4))
    (warning,) = warnings_of(look_at(graph, settings(thresholds=names)), 0.0)
    assert "no filter of '0', '1', '2' and 2 more groups scores above" in warning


def test_a_network_without_anything_to_remove_is_refused() -> None:
    """One layer, which is the output."""
    with pytest.raises(LimitError, match="all of them reach its outputs directly"):
        look_at(capture(nn.Conv2d(3, 8, 3).eval(), (3, 8, 8)), PruneSettings())


@pytest.mark.parametrize("goal", [Goal(macs=20_000), Goal(weight_bytes=4_000), Goal(ratio=0.5)])
def test_goals_are_met_by_what_is_cut(chain: Graph, goal: Goal) -> None:
    """The threshold that is solved for leaves no more than asked."""
    look = look_at(chain, settings())
    small = cut(decide(look.coupling, look.rankings, threshold_for(look, 0.1, goal)))
    if goal.weight_bytes is not None:
        assert 4 * parameters_of(small) <= goal.weight_bytes
    if goal.ratio is not None:
        assert parameters_of(small) <= goal.ratio * parameters_of(chain)
    assert parameters_of(small) < parameters_of(chain)


@pytest.mark.parametrize("name", NETWORKS)
def test_charts_hold_every_filter_and_the_curve_of_cutting(name: str) -> None:
    """Histograms count all classes once; the curve's values are sizes of cut networks."""
    torch.manual_seed(0)
    graph = capture(NETWORKS[name]().eval(), (3, 12, 12))
    look = look_at(graph, settings())
    norms, found = charts_for(look, 0.9)
    assert isinstance(norms, Distributions)
    assert isinstance(found, Curves)
    assert [sum(row.counts) for row in norms.rows] == [len(r.scores) for r in look.rankings]
    assert norms.span == found.span
    for place in (0, len(found.x) // 2, -1):
        small = cut(decide(look.coupling, look.rankings, found.x[place]))
        share = 100 * parameters_of(small) / parameters_of(graph)
        assert np.isclose(found.lines[0].values[place], share, atol=1e-3)
    (mark,) = found.marks
    small = cut(decide(look.coupling, look.rankings, 0.9))
    assert mark.label == f"threshold 0.9 leaves {parameters_of(small) / parameters_of(graph):.1%}"
