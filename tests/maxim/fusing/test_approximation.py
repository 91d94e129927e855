"""Approximations: only where the recipe allows them, and with their effect measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.maxim.networks import captured, random_inputs
from torch import nn

from nibblefit.errors import UnsupportedError
from nibblefit_maxim.fusing.approximation import approximated, effect
from nibblefit_maxim.fusing.fuser import fuse_for
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000


def _graph(gain: float):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Conv2d(4, 2, 1))
    net[0].weight.data.mul_(gain)
    return captured(net, (1, 6, 6))


def test_relu6_is_refused_unless_allowed() -> None:
    """Without permission the layer is refused by name, and the refusal says how to allow it."""
    graph = _graph(1.0)
    with pytest.raises(UnsupportedError, match=r"'1'.*clip.*\n?.*relu6"):
        fuse_for(graph, MAX78000, MaximOptions()).require("MAX78000")
    allowed = fuse_for(graph, MAX78000, MaximOptions(approximations=("relu6",)))
    assert allowed.layers[0].describe() == "conv2d 3×3 + relu"


def test_effect_is_zero_below_six_and_measured_above() -> None:
    """The reported difference is the one that torch's own two functions make."""
    x = random_inputs((1, 6, 6), 8)
    quiet = _graph(1.0)
    assert effect(quiet, approximated(quiet, ["relu6"]), x).largest == 0.0
    loud = _graph(40.0)
    found = effect(loud, approximated(loud, ["relu6"]), x)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Conv2d(4, 2, 1))
    net[0].weight.data.mul_(40.0)
    with torch.no_grad():
        before = net(torch.from_numpy(x)).numpy()
        net[1] = nn.ReLU()
        after = net(torch.from_numpy(x)).numpy()
    assert found.largest == pytest.approx(np.abs(after - before).max(), rel=1e-4)
    assert found.layers == ("1",)
    assert "1 layers approximated (1)" in found.line()


def test_nothing_to_approximate_is_the_same_graph() -> None:
    """A network without relu6 is returned untouched."""
    graph = captured(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), (1, 6, 6))
    assert approximated(graph, ["relu6"]) is graph
    assert approximated(_graph(1.0), []).nodes == _graph(1.0).nodes
