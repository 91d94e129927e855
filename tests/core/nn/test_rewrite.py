"""Rewrites keep the function; folding keeps names, zeros and sharing."""

# Cases share one signature.
# ruff: noqa: ARG005, N812

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from tests.core.nn.equality import random_inputs, relative
from tests.core.nn.lookalikes import build
from torch import nn

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.nn.names import trainable
from nibblefit.nn.rewrite import (
    canonical,
    fold_batch_norm,
    join_hard_swish,
    live,
    merge_bias,
    merge_pads,
    remove_dropout,
    remove_identity,
)


class Lambda(nn.Module):
    """A function with named layers."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


def norm(channels, kind=nn.BatchNorm2d):
    """Return a batch norm with uneven statistics."""
    layer = kind(channels)
    for value in (layer.running_mean, layer.weight.data, layer.bias.data):
        value.normal_()
    layer.running_var.uniform_(0.5, 2)
    return layer


def captured(function, shape, **layers) -> Graph:
    """Return a graph with float64 constants, in which rewrites are exact."""
    graph = capture(Lambda(function, **layers), shape)
    return graph.with_constants({n: c.astype(np.float64) for n, c in graph.constants.items()})


def assert_unchanged(before: Graph, after: Graph, seed=0) -> None:
    """Hold outputs equal to 1e-9."""
    inputs = random_inputs(before, seed=seed)
    one, two = run_float(before, inputs), run_float(after, inputs)
    for a, b in zip(before.outputs, after.outputs):
        assert relative(two[b], one[a]) <= 1e-9


def ops(graph: Graph) -> list[str]:
    """Return the operators in order."""
    return [node.op.value for node in graph.nodes]


def test_norm_behind_every_weighted_layer_is_folded():
    """Convolution, grouped transposed convolution and linear layer take their batch norm."""
    for layer, bn, shape in (
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), norm(6), (4, 6, 6)),
        (nn.ConvTranspose2d(4, 6, 3, 2, groups=2), norm(6), (4, 6, 6)),
        (nn.Linear(5, 3), norm(3, nn.BatchNorm1d), (5,)),
        (nn.Conv1d(4, 6, 3), norm(6, nn.BatchNorm1d), (4, 9)),
    ):
        graph = captured(lambda m, x: m.bn(m.layer(x)), shape, layer=layer, bn=bn)
        folded = fold_batch_norm(graph)
        assert len(folded.nodes) == 1
        assert folded.nodes[0].name == "layer"
        assert folded.outputs == graph.outputs == ("bn",)
        assert set(folded.constants) == {"layer.weight", "layer.bias"}
        assert_unchanged(graph, folded)


def test_norm_ahead_is_folded_only_where_exact():
    """An unpadded convolution takes the norm in front of it; a padded one leaves a SCALE_OFFSET."""
    for padding, expected in ((0, ["conv"]), (1, ["scale_offset", "conv"])):
        graph = captured(lambda m, x: m.conv(m.bn(x)), (4, 6, 6), bn=norm(4),
                         conv=nn.Conv2d(4, 6, 3, padding=padding, groups=2))  # fmt: skip
        folded = fold_batch_norm(graph)
        assert ops(folded) == expected
        assert_unchanged(graph, folded)


def test_norms_in_a_row_and_on_matrices():
    """Chains fold completely; a norm over the channels of token matrices stays apart."""
    graph = captured(lambda m, x: m.b(m.a(m.conv(x))), (2, 5, 5), conv=nn.Conv2d(2, 3, 1),
                     a=norm(3), b=norm(3))  # fmt: skip
    assert ops(fold_batch_norm(graph)) == ["conv"]
    assert_unchanged(graph, fold_batch_norm(graph))
    graph = captured(lambda m, x: m.bn(m.fc(x)), (4, 5), fc=nn.Linear(5, 3),
                     bn=norm(4, nn.BatchNorm1d))  # fmt: skip
    assert ops(fold_batch_norm(graph)) == ["linear", "scale_offset"]
    assert_unchanged(graph, fold_batch_norm(graph))


def test_norm_of_a_tensor_read_twice_stays():
    """A convolution whose output others read too is not changed."""
    graph = captured(lambda m, x: m.bn(y := m.conv(x)) + y, (2, 5, 5), conv=nn.Conv2d(2, 3, 1),
                     bn=norm(3))  # fmt: skip
    assert ops(fold_batch_norm(graph)) == ["conv", "scale_offset", "add"]
    assert_unchanged(graph, fold_batch_norm(graph))


def test_shared_convolution_with_two_norms_is_unshared():
    """Each use gets weights of its own; equal pairs stay shared under the old name."""
    layers = {"conv": nn.Conv2d(3, 3, 1), "a": norm(3), "b": norm(3)}
    graph = captured(lambda m, x: m.b(m.conv(m.a(m.conv(x)))), (3, 5, 5), **layers)
    folded = fold_batch_norm(graph)
    assert len({node.inputs[1] for node in folded.nodes}) == 2
    assert_unchanged(graph, folded)
    graph = captured(lambda m, x: m.a(m.conv(m.a(m.conv(x)))), (3, 5, 5), **layers)
    folded = fold_batch_norm(graph)
    assert {node.inputs[1:] for node in folded.nodes} == {("conv.weight", "conv.bias")}
    assert_unchanged(graph, folded)


def test_pruned_zeros_and_dtype_survive_folding():
    """Zero weights stay exactly zero under the same name; float32 stays float32."""
    conv = nn.Conv2d(4, 6, 3)
    mask = torch.rand_like(conv.weight) > 0.5
    conv.weight.data *= mask
    graph = capture(Lambda(lambda m, x: m.bn(m.conv(x)), conv=conv, bn=norm(6)), (4, 6, 6))
    folded = fold_batch_norm(graph)
    weights = folded.constants["conv.weight"]
    assert weights.dtype == np.float32
    assert np.array_equal(weights != 0, mask.numpy())
    assert not weights.flags.writeable
    assert trainable(folded) == {"conv.weight", "conv.bias"}


def test_dropout_and_identity_leave_no_trace():
    """Readers move to what the removed node read; outputs stay distinct from inputs."""
    graph = captured(lambda m, x: (F.relu(m.drop(x)), m.drop(x)), (4,), drop=nn.Dropout())
    cleaned = remove_dropout(graph)
    assert ops(cleaned) == ["relu", "identity"]
    assert_unchanged(graph, cleaned)
    assert remove_identity(cleaned).nodes == cleaned.nodes
    graph = captured(lambda m, x: m.drop(F.relu(x)).abs(), (4,), drop=nn.Dropout())
    assert ops(remove_dropout(graph)) == ["relu", "abs"]


def test_pads_move_into_their_readers():
    """Zero pads join convolutions and pools exactly where the result stays the same."""

    def pooled(pool, before=torch.relu, value=0.0):
        return captured(lambda m, x: pool(F.pad(before(x), (1, 0, 0, 1), value=value)), (2, 6, 6))

    conv = captured(lambda m, x: m.conv(F.pad(x, (1, 2, 3, 0))), (2, 6, 6),
                    conv=nn.Conv2d(2, 3, 3, padding=1))  # fmt: skip
    merged = merge_pads(conv)
    assert merged.nodes[0].attributes["pads"] == (4, 2, 1, 3)
    assert_unchanged(conv, merged)
    cases = [
        (pooled(lambda x: F.max_pool2d(x, 2)), True),
        (pooled(lambda x: F.max_pool2d(x, 2), torch.tanh), False),
        (pooled(lambda x: F.avg_pool2d(x, 2)), True),
        (pooled(lambda x: F.avg_pool2d(x, 3, 2, 1)), True),
        (pooled(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)), False),
        (pooled(lambda x: F.avg_pool2d(x, 2), value=1.0), False),
        (pooled(lambda x: F.max_pool2d(x, 2, ceil_mode=True)), False),
    ]
    for graph, merges in cases:
        merged = merge_pads(graph)
        assert ("pad" not in ops(merged)) is merges
        assert_unchanged(graph, merged)


def test_constant_behind_a_layer_becomes_its_bias():
    """Per-channel constants join; others stay."""
    bias = nn.Parameter(torch.randn(3, 1, 1))
    graph = captured(lambda m, x: m.conv(x) + m.bias, (2, 5, 5), bias=bias,
                     conv=nn.Conv2d(2, 3, 1, bias=False))  # fmt: skip
    merged = merge_bias(graph)
    assert [node.inputs for node in merged.nodes] == [("x", "conv.weight", "bias")]
    assert_unchanged(graph, merged)
    row = nn.Parameter(torch.randn(5))
    graph = captured(lambda m, x: m.conv(x) + m.bias, (2, 5, 5), bias=row,
                     conv=nn.Conv2d(2, 3, 1, bias=False))  # fmt: skip
    assert ops(merge_bias(graph)) == ["conv", "add"]


def test_canonical_form_is_stable():
    """A second pass changes nothing."""
    graph = canonical(capture(build("tokens"), (3, 16, 16)))
    assert canonical(graph).nodes == graph.nodes
    assert live(graph).nodes == graph.nodes


def test_gate_written_out_becomes_hard_swish():
    """X · hardsigmoid(x) joins; a gate of another tensor, or one read twice, stays."""
    graph = captured(lambda m, x: F.hardsigmoid(x) * x, (3,))
    assert ops(join_hard_swish(graph)) == ["hard_swish"]
    assert_unchanged(graph, join_hard_swish(graph))
    for kept in (
        captured(lambda m, x: F.hardsigmoid(x.abs()) * x, (3,)),
        captured(lambda m, x: (y := F.hardsigmoid(x)) * x + y, (3,)),
    ):
        assert join_hard_swish(kept).nodes == kept.nodes
