"""Preparation does what was asked, in order, and says every change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.vitis.preparation.building import Building, doubled

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation import prepare_graph
from nibblefit_vitis.preparation.constants import LEAKY_SLOPE
from nibblefit_vitis.settings import Device, NetworkSetting

DEFAULT = NetworkSetting()


def ops(graph: Graph) -> list[str]:
    """Return the operators in order."""
    return [node.op.value for node in graph.nodes]


def assert_same(before: Graph, after: Graph) -> None:
    """Hold the outputs of two float64 graphs together."""
    check_graph(after)
    x = np.random.default_rng(2).normal(size=(2, *before.shapes["x"]))
    one, two = run_float(before, {"x": x}), run_float(after, {"x": x})
    for name, other in zip(before.outputs, after.outputs):
        assert two[other] == pytest.approx(one[name], rel=1e-6, abs=1e-6)


def clipped() -> Graph:
    """Return conv, ReLU6, conv."""
    net = Building(seed=1)
    return net.finish(net.conv(net.relu6(net.conv(net.x, 8, "a"), "act"), 4, "b"))


def test_relu6_stays_and_the_pair_is_left_alone_by_default() -> None:
    """The clip is the same in every channel, so scaling channels would change the function."""
    prepared = prepare_graph(clipped(), DEFAULT)
    assert ops(prepared.graph) == ["conv", "clip", "conv"]
    assert prepared.equalized == ()
    (note,) = prepared.notes
    assert note == (
        "'a' and 'b' are not equalized: 'act' clips at 6 in every channel, and the DPU has no "
        "bound per channel; convert_relu6_to_relu would allow it"
    )
    assert_same(doubled(clipped()), prepare_graph(doubled(clipped()), DEFAULT).graph)


def test_relu6_becomes_relu_when_asked_and_then_equalizes() -> None:
    """The replacement is said with its reason."""
    prepared = prepare_graph(clipped(), replace(DEFAULT, convert_relu6_to_relu=True))
    assert ops(prepared.graph) == ["conv", "relu", "conv"]
    assert prepared.equalized == (("a", "b"),)
    (note,) = prepared.notes
    assert note.startswith("ReLU6 'act' became ReLU: convert_relu6_to_relu is set")


def test_parity_replaces_relu6_exactly_where_the_original_does() -> None:
    """With equalization every ReLU6 goes, and the note says whose habit it is; without, none."""
    setting = replace(DEFAULT, parity=True)
    prepared = prepare_graph(clipped(), setting)
    assert ops(prepared.graph) == ["conv", "relu", "conv"]
    assert prepared.notes == (
        "ReLU6 'act' became ReLU: the original does so wherever include_cle is set",
    )
    without = prepare_graph(clipped(), replace(setting, include_cle=False))
    assert (ops(without.graph), without.notes) == (["conv", "clip", "conv"], ())


def test_other_clips_are_no_relu6() -> None:
    """Clips at other values stay, whatever is asked."""
    net = Building()
    net.add(Op.CLIP, [net.add(Op.CLIP, [net.x], "a", lo=-1.0, hi=6.0)], "b", lo=0.0, hi=4.0)
    setting = replace(DEFAULT, convert_relu6_to_relu=True)
    assert ops(prepare_graph(net.finish("b"), setting).graph) == ["clip", "clip"]


def test_silu_becomes_hard_swish_when_asked() -> None:
    """Both orders of the product are found; other products stay."""
    net = Building()
    one = net.add(Op.MUL, [net.x, net.add(Op.SIGMOID, [net.x], "g")], "silu")
    two = net.add(Op.MUL, [net.add(Op.SIGMOID, [one], "h"), one], "again")
    net.add(Op.MUL, [net.add(Op.SIGMOID, [net.x], "k"), two], "gated")
    graph = net.finish("gated")
    assert ops(prepare_graph(graph, DEFAULT).graph) == ops(graph)
    prepared = prepare_graph(graph, replace(DEFAULT, convert_silu_to_hswish=True))
    assert ops(prepared.graph) == ["hard_swish", "hard_swish", "sigmoid", "mul"]
    assert [note.split(":")[0] for note in prepared.notes] == [
        "SiLU 'silu' became hard-swish", "SiLU 'again' became hard-swish",
    ]  # fmt: skip


def test_leaky_slopes_become_the_hardwares_with_a_warning() -> None:
    """A slope that is the DPU's already draws none; other devices keep theirs."""
    net = Building()
    net.add(Op.LEAKY_RELU, [net.add(Op.LEAKY_RELU, [net.x], "a", slope=0.2)], "b",
            slope=float(np.float32(26 / 256)))  # fmt: skip
    graph = net.finish("b")
    prepared = prepare_graph(graph, DEFAULT)
    assert [node.attributes["slope"] for node in prepared.graph.nodes] == [LEAKY_SLOPE] * 2
    (note,) = prepared.notes
    assert note.startswith("leaky ReLU 'a' has slope 26/256 = 0.1015625 instead of 0.2")
    other = prepare_graph(graph, replace(DEFAULT, device=Device.CPU))
    assert (other.graph.nodes, other.notes) == (graph.nodes, ())


def test_norms_fold_into_convolutions_concatenations_and_dense_layers() -> None:
    """No batch norm is left, and the function stays."""
    net = Building(seed=3)
    both = net.add(Op.CONCAT, [net.conv(net.x, 3, "a"), net.conv(net.x, 5, "b")], "cat", axis=1)
    up = net.norm(net.conv(net.norm(both, "n1"), 6, "up", transposed=True, groups=2), "n2")
    graph = net.finish(net.norm(net.linear(up, 4, "fc"), "n3"))
    prepared = prepare_graph(doubled(graph), replace(DEFAULT, include_cle=False))
    assert ops(prepared.graph) == ["conv", "conv", "concat", "conv_transpose", "flatten", "linear"]
    assert prepared.notes == ()
    assert_same(doubled(graph), prepared.graph)
    parity = prepare_graph(graph, replace(DEFAULT, parity=True, include_cle=False))
    assert ops(parity.graph)[-2:] == ["linear", "scale_offset"]
    (note,) = parity.notes
    assert note == (
        "batch norm 'n3' is quantized as a scale and offset of its own, because 'fc' (linear) "
        "cannot take it"
    )


def test_norms_that_cannot_fold_are_layers_with_a_note() -> None:
    """In front of a convolution, behind another operator, behind a tensor with two readers."""
    net = Building(seed=5)
    first = net.conv(net.norm(net.x, "n0"), 4, "a")
    second = net.norm(net.add(Op.RELU, [net.norm(first, "n1")], "r"), "n2")
    graph = net.finish(net.add(Op.ADD, [second, first], "sum"))
    prepared = prepare_graph(graph, DEFAULT)
    assert ops(prepared.graph).count("scale_offset") == 3
    assert [note.split("because ")[1] for note in prepared.notes] == [
        "no convolution comes before it",
        "the output of 'a' is used elsewhere too",
        "'r' (relu) comes before it, not a convolution",
    ]


def test_layers_that_share_parameters_get_their_own() -> None:
    """Each copy is folded and equalized by itself; the function stays, and the copy is said."""
    net = Building(seed=6)
    weight, bias = (
        net.constant("w", net.random.normal(size=(4, 4, 1, 1))),
        net.constant("b", [1] * 4),
    )
    x = net.x
    for name in ("one", "two"):
        x = net.norm(net.add(Op.CONV, [x, weight, bias], name), f"{name}.norm")
    graph = net.finish(x)
    prepared = prepare_graph(graph, replace(DEFAULT, include_cle=False))
    assert len({node.inputs[1] for node in prepared.graph.nodes}) == 2
    (note,) = prepared.notes
    assert note == (
        "layer 'two' shares parameters with 'one'; it has a copy of its own, which is quantized "
        "by itself"
    )
    assert_same(doubled(graph), prepare_graph(doubled(graph), DEFAULT).graph)


def test_copies_of_frozen_parameters_stay_frozen() -> None:
    """Their names say so, and are new."""
    net = Building()
    weight = net.builder.add_constant("w", np.ones((4, 4, 1, 1)), fixed=True)
    x = net.x
    for name in ("one", "two", "three"):
        x = net.add(Op.CONV, [x, weight], name)
    graph = prepare_graph(net.finish(x), replace(DEFAULT, include_cle=False)).graph
    assert [n.inputs[1] for n in graph.nodes] == ["w:fixed", "w@2:fixed", "w@3:fixed"]


def test_dropout_and_idle_nodes_disappear() -> None:
    """What does nothing outside training is gone."""
    net = Building()
    kept = net.add(Op.DROPOUT, [net.conv(net.x, 4, "a")], "drop", p=0.5)
    graph = net.finish(net.add(Op.RELU, [net.add(Op.IDENTITY, [kept], "same")], "r"))
    assert ops(prepare_graph(graph, DEFAULT).graph) == ["conv", "relu"]


def test_chains_end_where_a_tensor_is_read_twice_or_given_out() -> None:
    """A branch, an output of the network, or weights that are no constants part a pair."""
    net = Building(seed=7)
    first = net.conv(net.x, 4, "a")
    second = net.conv(first, 4, "b")
    third = net.conv(second, 4, "c")
    graph = net.finish(third, net.add(Op.ADD, [first, third], "sum"), second)
    assert prepare_graph(graph, DEFAULT).equalized == ()
