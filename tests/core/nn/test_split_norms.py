"""Batch norms behind concatenations move into the branches, and folding takes other arithmetic."""

# Cases share one signature.

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.core.nn.test_rewrite import assert_unchanged, captured, norm, ops
from torch import nn

from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit.ir.ops import Op
from nibblefit.nn.capture import capture
from nibblefit.nn.rewrite import fold_batch_norm, split_norms


def _joined(function, **more) -> Graph:
    torch.manual_seed(3)
    layers = {"a": nn.Conv2d(3, 2, 3, padding=1), "b": nn.Conv2d(3, 4, 1), "bn": norm(6)}
    return captured(function, (3, 5, 5), **layers, **more)


def test_norm_behind_a_concatenation_folds_into_every_branch() -> None:
    """Both convolutions take their slice, the concatenation takes the norm's tensor."""
    graph = _joined(lambda m, x: torch.relu(m.bn(torch.cat([m.a(x), m.b(x)], 1))))
    split = split_norms(graph)
    check_graph(split)
    assert_unchanged(graph, split)
    folded = fold_batch_norm(split)
    assert ops(folded) == ["conv", "conv", "concat", "relu"]
    assert folded.nodes[2].output == "bn"
    assert_unchanged(graph, folded)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m.bn(torch.cat([m.a(x), torch.relu(m.b(x))], 1)),
        lambda m, x: m.bn(y := torch.cat([m.a(x), m.b(x)], 1)) + y,
        lambda m, x: m.bn(torch.cat([y := m.a(x), m.b(x)], 1))[:, :2] + y,
    ],
    ids=["a branch is no convolution", "the concatenation is read twice", "a branch is"],
)
def test_norm_stays_where_a_branch_cannot_take_it(function) -> None:
    """Nothing changes unless every branch is a layer that only the concatenation reads."""
    graph = _joined(function)
    assert split_norms(graph) is graph


def test_other_axes_and_operators_are_left_alone() -> None:
    """A concatenation of rows, or of layers that are not to take norms, keeps its norm."""
    torch.manual_seed(3)
    layers = {"a": nn.Conv2d(3, 6, 1), "b": nn.Conv2d(3, 6, 1), "bn": norm(6)}
    graph = captured(lambda m, x: m.bn(torch.cat([m.a(x), m.b(x)], 2)), (3, 5, 5), **layers)
    assert split_norms(graph) is graph
    graph = _joined(lambda m, x: m.bn(torch.cat([m.a(x), m.b(x)], 1)))
    assert split_norms(graph, into={Op.LINEAR}) is graph


def test_folding_can_be_kept_from_operators_and_directions() -> None:
    """`into` and `ahead` leave norms as SCALE_OFFSET that would fold otherwise."""
    fc, bn = nn.Linear(5, 3), norm(3, nn.BatchNorm1d)
    graph = captured(lambda m, x: m.bn(m.fc(x)), (5,), fc=fc, bn=bn)
    assert ops(fold_batch_norm(graph, into={Op.CONV})) == ["linear", "scale_offset"]
    graph = captured(lambda m, x: m.conv(m.bn(x)), (4, 6, 6), bn=norm(4), conv=nn.Conv2d(4, 6, 3))
    assert ops(fold_batch_norm(graph)) == ["conv"]
    assert ops(fold_batch_norm(graph, ahead=False)) == ["scale_offset", "conv"]


def test_single_precision_gives_the_bits_of_single_precision() -> None:
    """float32 arithmetic rounds after every operation, as tools do that fold in it."""
    torch.manual_seed(5)
    layers = {"conv": nn.Conv2d(4, 6, 3), "bn": norm(6)}

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = layers["conv"], layers["bn"]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bn(self.conv(x))

    graph = capture(Both(), (4, 6, 6))
    folded = fold_batch_norm(graph, dtype=np.float32)
    c = graph.constants
    names = next(n for n in graph.nodes if n.op is Op.BATCH_NORM).inputs[1:]
    gamma, beta, mean, variance = (c[name] for name in names)
    scale = gamma / np.sqrt(variance + np.float32(1e-5))
    expected = c["conv.weight"] * scale[:, None, None, None]
    assert np.array_equal(folded.constants["conv.weight"], expected)
    expected = c["conv.bias"] * scale + (beta - mean * scale)
    assert np.array_equal(folded.constants["conv.bias"], expected)
