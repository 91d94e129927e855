"""Mean and scale inside the first layer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.networks import Net

from nibblefit.data.scaling import Scaling
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit.ir.ops import Op
from nibblefit_tidl.front.folding import Border, fold_front
from nibblefit_tidl.front.preprocessing import Preprocessing, broadcast, preprocessing_of

MEANS = (123.675, 116.28, 103.53)
SCALES = (0.0171, 0.0175, 0.0174)
GIVEN = Preprocessing(MEANS, SCALES)


def _network(*, kernel: int, groups: int = 1, seed: int = 0) -> Graph:
    net = Net((3, 9, 9), seed)
    first = net.relu(net.conv(net.x, 6, "first", kernel=kernel, stride=2, groups=groups))
    return net.finish(net.conv(first, 2, "second"))


def _pixels(count: int = 4, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 9, 9)).astype(np.float64)


def _outputs(graph: Graph, x: np.ndarray, name: str) -> np.ndarray:
    wide = graph.with_constants({n: v.astype(np.float64) for n, v in graph.constants.items()})
    return np.asarray(run_float(wide, {graph.inputs[0]: x})[name])


@pytest.mark.parametrize("groups", [1, 3])
def test_layers_without_padding_give_the_same_numbers(groups: int) -> None:
    """Everywhere, in double precision; only the first layer changed."""
    graph = _network(kernel=1, groups=groups)
    folded = fold_front(graph, GIVEN)
    assert folded.fold_pre_bn == 1
    check_graph(folded.graph)
    x = _pixels()
    wanted = _outputs(graph, GIVEN.apply(x), "second")
    assert np.allclose(_outputs(folded.graph, x, "second"), wanted, rtol=0, atol=1e-12)
    assert [node.op for node in folded.graph.nodes] == [node.op for node in graph.nodes]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]), st.sampled_from([3, 5]))
def test_padding_with_the_mean_is_exact_at_the_border(seed: int, groups: int, kernel: int) -> None:
    """With different means per channel, with one for all, and with groups."""
    graph = _network(kernel=kernel, groups=groups, seed=seed)
    x = _pixels(2, seed)
    for given_ in (GIVEN, broadcast([128.0], [1 / 128], 3)):
        folded = fold_front(graph, given_, Border.PAD)
        assert folded.fold_pre_bn == 2
        check_graph(folded.graph)
        wanted = _outputs(graph, given_.apply(x), "second")
        assert np.allclose(_outputs(folded.graph, x, "second"), wanted, rtol=0, atol=1e-11)


def test_zero_padding_would_be_wrong_at_the_border_alone() -> None:
    """Which is what foldPreBnConv2D = 1 does: equal inside the image, different at its edge."""
    graph = _network(kernel=3)
    folded = fold_front(graph, GIVEN, Border.PAD).graph
    first = folded.node("first")
    bare = graph.with_constants(
        {"first.weight": folded.constants["first.weight"],
         "first.bias": folded.constants[first.inputs[2]]}
    )  # fmt: skip
    x = _pixels()
    wanted = _outputs(graph, GIVEN.apply(x), "first")
    found = _outputs(bare, x, "first")
    assert np.allclose(found[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], rtol=0, atol=1e-11)
    assert np.abs(found - wanted)[..., 0, :].max() > 0.1


def test_padded_layers_are_refused_unless_asked_for() -> None:
    """But for a mean of zero, which zeros are."""
    with pytest.raises(UnsupportedError, match="it pads with zeros") as caught:
        fold_front(_network(kernel=3), GIVEN)
    assert "foldPreBnConv2D 2" in caught.value.hint
    scaled = fold_front(_network(kernel=3), Preprocessing((0.0,) * 3, (1 / 255,) * 3))
    assert scaled.fold_pre_bn == 1


def test_layers_without_bias_and_linear_layers_fold_too() -> None:
    """The bias is added; every feature has its mean."""
    net = Net((5,))
    weight = net.constant("l.weight", net.random.normal(size=(3, 5)))
    graph = net.finish(net.builder.add(Op.LINEAR, [net.x, weight], "l"))
    given_ = Preprocessing(tuple(range(5)), tuple(1.0 / (i + 1) for i in range(5)))
    folded = fold_front(graph, given_).graph
    x = np.random.default_rng(1).uniform(0, 255, (4, 5))
    wanted = _outputs(graph, given_.apply(x), "l")
    assert np.allclose(_outputs(folded, x, "l"), wanted, rtol=0, atol=1e-12)
    assert len(folded.node("l").inputs) == 3


def _two_readers() -> Graph:
    net = Net((3, 4, 4))
    a, b = net.conv(net.x, 2, "a", kernel=1), net.conv(net.x, 2, "b", kernel=1)
    return net.finish(net.add(Op.ADD, [a, b], "sum"))


def _pool_first() -> Graph:
    net = Net((3, 4, 4))
    return net.finish(net.add(Op.MAX_POOL, [net.x], "pool", kernel=(2, 2), strides=(2, 2),
                              pads=(0,) * 4))  # fmt: skip


def _shared() -> Graph:
    net = Net((3, 4, 4))
    first = net.conv(net.x, 3, "a", kernel=1)
    again = net.builder.add(Op.CONV, [first, "a.weight"], "b", strides=(1, 1), pads=(0,) * 4,
                            dilations=(1, 1), groups=1)  # fmt: skip
    return net.finish(again)


def _two_inputs() -> Graph:
    net = Net((3, 4, 4))
    other = net.builder.add_input("y", (3, 4, 4))
    return net.finish(net.add(Op.ADD, [net.x, other], "sum"))


def _other_channels() -> Graph:
    net = Net((4, 4, 4))
    return net.finish(net.conv(net.x, 2, "a", kernel=1))


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (_two_readers(), "2 layers read the input"),
        (_pool_first(), r"'pool' \(max_pool\) is no convolution"),
        (_shared(), "shares its weights with 'b'"),
        (_two_inputs(), "the network has 2 inputs"),
        (_other_channels(), "the input has 4 channels, mean and scale have 3"),
    ],
)
def test_networks_that_cannot_take_them_are_refused(graph: Graph, reason: str) -> None:
    """In one line, with the way that works."""
    with pytest.raises(UnsupportedError, match=f"cannot be folded: .*{reason}") as caught:
        fold_front(graph, GIVEN)
    assert "data-convert layers" in caught.value.hint
    assert "\n" not in caught.value.what


@given(st.integers(0, 255), st.floats(-2, 2), st.floats(0.1, 4.0))
def test_the_recipes_scaling_becomes_mean_and_scale(pixel: int, mean: float, std: float) -> None:
    """Range, mean and std of [data] in one affine map of pixels."""
    scaling = Scaling(0.0, 256.0, -1.0, 1.0, (mean,), (std,))
    found = preprocessing_of(scaling, 3)
    x = np.full((1, 3, 1, 1), pixel)
    assert np.allclose(found.apply(x), scaling.apply(x.astype(np.float64)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scaling", [None, Scaling(-1.0, 1.0), Scaling(0.0, 16384.0)])
def test_sources_without_pixels_are_refused(scaling: Scaling | None) -> None:
    """Floats, wide integers, and sources that scale by themselves."""
    with pytest.raises(UnsupportedError, match=r"not known|cannot be folded"):
        preprocessing_of(scaling, 1)


def test_wrong_numbers_are_refused() -> None:
    """Counts, signs, and what is not finite."""
    with pytest.raises(RecipeError, match="2 means for 3 channels"):
        broadcast([1.0, 2.0], [1.0], 3)
    with pytest.raises(RecipeError, match="1 means and 2 scales"):
        Preprocessing((0.0,), (1.0, 1.0))
    with pytest.raises(RecipeError, match="not above 0"):
        Preprocessing((0.0,), (0.0,))
    with pytest.raises(RecipeError, match="not finite"):
        Preprocessing((float("nan"),), (1.0,))
    with pytest.raises(RecipeError, match="up to 256"):
        broadcast([0.0], [1.0], 300)
