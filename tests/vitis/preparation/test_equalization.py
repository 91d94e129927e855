"""Equalization keeps the function, gives the vendor's bits, and balances ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.preparation.building import Building, case_small, doubled

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_vitis.preparation import prepare_graph
from nibblefit_vitis.preparation.chains import pairs
from nibblefit_vitis.preparation.equalization import bias_share, channel_scales, equalize
from nibblefit_vitis.settings import NetworkSetting


def test_parity_gives_the_vendors_parameters(shared: Path) -> None:
    """Folded and equalized parameters equal the original's in every bit, with and without."""
    graph = case_small(shared)
    for folder, equalizes in (("dpu_nocle_nobc", False), ("dpu_default", True)):
        prepared = prepare_graph(graph, NetworkSetting(parity=True, include_cle=equalizes))
        path = shared / "vendor/vitis/case_small" / folder / "params_after_bnfold_cle.npz"
        with np.load(path) as expected:
            assert len(expected.files) == len(prepared.graph.constants) == 12
            for name in expected.files:
                found = prepared.graph.constants[name.removeprefix("SmallCNN::")]
                assert np.array_equal(found, expected[name]), name


@st.composite
def _networks(draw: st.DrawFn) -> Graph:
    """Draw a chain of convolutions, rectifiers and pools, with a branch now and then."""
    net = Building((4, 12, 12), draw(st.integers(0, 2**16)))
    x, spare = net.x, []
    for number in range(draw(st.integers(2, 5))):
        name, kind = f"c{number}", draw(st.sampled_from(["plain", "grouped", "depthwise"]))
        ins = net.builder.shape_of(x)[0]
        out = draw(st.sampled_from([4, 8]))
        groups = {"plain": 1, "grouped": 2, "depthwise": ins}[kind]
        x = net.conv(x, max(out, groups), name, groups=groups, bias=draw(st.booleans()),
                     transposed=draw(st.booleans()))  # fmt: skip
        follower = draw(st.sampled_from(["none", "relu", "clip", "max", "avg", "leaky", "relu6"]))
        if follower == "relu":
            x = net.add(Op.RELU, [x], f"{name}.r")
        elif follower == "clip":
            x = net.add(Op.CLIP, [x], f"{name}.r", lo=0.0, hi=None)
        elif follower == "relu6":
            x = net.relu6(x, f"{name}.r")
        elif follower == "leaky":
            x = net.add(Op.LEAKY_RELU, [x], f"{name}.r", slope=0.1015625)
        elif follower in ("max", "avg") and min(net.builder.shape_of(x)[1:]) > 3:
            x = net.pool(x, f"{name}.p", Op.MAX_POOL if follower == "max" else Op.AVG_POOL)
        if draw(st.integers(0, 3)) == 0:
            spare.append(x)
    return net.finish(net.linear(x, 3, "head"), *(s for s in dict.fromkeys(spare) if s != x))


@given(graph=_networks())
def test_equalized_networks_compute_the_same(graph: Graph) -> None:
    """In float64 nothing changes but the last digits, whatever the chain."""
    before = doubled(graph)
    x = np.random.default_rng(1).normal(size=(2, 4, 12, 12))
    prepared = prepare_graph(before, NetworkSetting())
    one, two = run_float(before, {"x": x}), run_float(prepared.graph, {"x": x})
    for name in before.outputs:
        scale = max(1.0, float(np.abs(one[name]).max()))
        assert float(np.abs(one[name] - two[name]).max()) <= 1e-6 * scale


@given(graph=_networks())
def test_clips_are_never_changed_by_default(graph: Graph) -> None:
    """Every ReLU6 is still there, and each pair it kept apart is said."""
    prepared = prepare_graph(graph, NetworkSetting())
    clips = [n for n in graph.nodes if n.op is Op.CLIP and n.attributes["hi"] == 6]
    assert [n for n in prepared.graph.nodes if n in clips] == clips
    parted = [pair for pair in pairs(graph) if pair.clips]
    assert sum("are not equalized" in note for note in prepared.notes) == len(parted)
    assert len(prepared.equalized) == len(pairs(graph)) - len(parted)


def test_pairs_end_with_equal_ranges() -> None:
    """Of a pair without bias, every channel has one range on both sides."""
    net = Building(seed=4)
    first = net.conv(net.x, 8, "a", bias=False, spread=3.0)
    net.conv(net.add(Op.RELU, [first], "r"), 8, "b", groups=2, spread=3.0)
    graph = net.finish("b")
    after = equalize(graph, pairs(graph)).constants
    before = np.abs(after["a.weight"]).max(axis=(1, 2, 3))
    behind = np.abs(after["b.weight"]).reshape(2, 4, 4, -1).max(axis=(1, 3)).reshape(-1)
    assert before == pytest.approx(behind, rel=1e-5)


def test_scale_is_the_root_of_the_ranges_ratio() -> None:
    """S = √(r0 / r1), the bias counted as one more weight; small or empty channels keep 1."""
    before = np.array([[1.0, -4.0], [0.1, 0.2], [0.0, 0.0], [0.5, 0.1]], np.float32)
    after = np.array([[1.0], [-0.2], [3.0], [8.0]], np.float32)
    assert channel_scales(before, None, after) == pytest.approx([2.0, 1.0, 1.0, 0.25])
    bias = np.array([0.0, 0.0, 6.0, 4.0], np.float32)
    scales = channel_scales(before, bias, after)
    share = bias_share(before, bias)
    assert scales == pytest.approx([2.0, 1.0, (6 / share / 3) ** 0.5, (4 / share / 8) ** 0.5])


@pytest.mark.parametrize(
    ("weights", "bias", "share"),
    [
        ([[1.0, 1.0]], [2.0], 2),
        ([[0.5, 1e-3, 1e-3]], [2.0], 5),  # median ratio above 100
        ([[1.0, 1.0, 1e-5]], [5.0], 5),  # mean ratio above 1000
        ([[1.0, 1.0]], [12.0], 5),
        ([[1.0, 1.0]], [20.0], 10),
        ([[1.0, 1.0]], [31.0], 20),
        ([[1.0, 1.0, 1e-2]], [11.0], 10),  # mean ratio above 100
        ([[1.0, 1.0, 1e-3]], [11.0], 20),  # mean ratio above 500
        ([[0.1, 0.1]], [2.5], 10),  # small bias, but 25 times the weights
        ([[0.0, 0.0], [1.0, 1.0]], [9.0, 1.0], 2),  # a dead channel's bias does not count
        ([[0.0, 0.01, 1.0]], [3.0], 5),  # a zero counts as the channel's smallest weight
    ],
)
def test_bias_share_follows_the_thresholds(
    weights: list[list[float]], bias: list[float], share: int
) -> None:
    """Each branch of the rule, on ratios computed by hand."""
    assert bias_share(np.array(weights, np.float32), np.array(bias, np.float32)) == share
