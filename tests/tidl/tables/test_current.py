"""Every limit of the current generation's table: kept and broken, by device and release."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tidl.networks import Net
from tests.tidl.tables.judged import conv, judged, one, pool

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import DEVICES
from nibblefit_tidl.inspection.settings import current_setting
from nibblefit_tidl.tables.judging import judge
from nibblefit_tidl.tables.schema import Release, Severity

_T = Op.CONV_TRANSPOSE


def resize(sizes: tuple[int, int], mode: str, nearest: str = "", **kwargs: object) -> Graph:
    """Return a network that resizes 8 × 8."""
    if nearest:
        return one(Op.RESIZE_NEAREST, (4, 8, 8), sizes=sizes, coordinates=mode,
                   nearest_mode=nearest)  # fmt: skip
    return one(Op.RESIZE_BILINEAR, (4, 8, 8), sizes=sizes, coordinates=mode)


#: What is refused: network, device, release, words of the reason, words of the remedy.
REFUSED: list[tuple[Graph, str, Release, str, str]] = [
    (conv(stride=(1, 2)), "am68a", "11.0", "strides 1×2", "equal strides"),
    (conv(stride=3), "am62a", "11.0", "3×3 with stride 3", "convert_tr_conv_stride_n_tr"),
    (conv(stride=3), "am67a", "9.x", "3×3 with stride 3", "or use stride 2"),
    (conv((9, 9), 2), "am69a", "11.0", "9×9 with stride 2", "at most 7"),
    (conv((7, 7), 4), "tda4vm", "11.0", "7×7 with stride 4", "convert_conv_7x7_stride4"),
    (conv(groups=4, stride=3), "tda4vm", "11.0", "depthwise", "ordinary convolution"),
    (conv((1, 3), groups=4), "tda4vm", "11.0", "1×3", "ordinary convolution"),
    (conv((7, 7), pads=(3, 3, 3, 3), shape=(4, 9, 2)), "tda4vm", "11.0", "padding 3 of an input 2",
     "convert_conv_large_pad"),
    (conv((7, 3), pads=(3, 1, 3, 1), shape=(4, 9, 2)), "am62a", "newer", "padding 3", "large_pad"),
    (conv((2, 2), 2), "tda4vm", "8.x", "2×2 with stride 2", "convert_conv_even_filter_to_odd"),
    (conv((7, 7), 2), "tda4vm", "9.x", "7×7 with stride 2", "convert_conv_even_filter"),
    (conv(stride=2, dilation=2), "tda4vm", "9.x", "dilation 2", "stride 1"),
    (pool(Op.MAX_POOL, 2, 2, dilations=(2, 2)), "tda4vm", "11.0", "dilation 2", "larger kernel"),
    (one(Op.GLOBAL_AVG_POOL, (4, 33, 32)), "tda4vm", "11.0", "1,056 values",
     "convert_large_global_avg_pooling_to_matmul"),
    (one(Op.GLOBAL_MAX_POOL), "tda4vm", "11.0", "no GlobalMaxPool", "MaxPool"),
    (one(Op.CLIP, lo=1.0, hi=6.0), "tda4vm", "11.0", "a clip to 1 … 6", "adjust_clip"),
    (one(Op.CLIP, lo=None, hi=-1.0), "tda4vm", "11.0", "∞ … -1", "adjust_clip"),
    (one(Op.ADD, constants=[(4, 16, 1)]), "tda4vm", "11.0", "a constant of 4×16×1",
     "support_broadcast_ops"),
    (one(Op.MUL, constants=[(16, 1)]), "tda4vm", "11.0", "16×1", "support_broadcast_ops"),
    (one(Op.ADD, twice=True, constants=[(4, 1, 1)]), "tda4vm", "11.0", "3 inputs", "two at a time"),
    (one(Op.SOFTMAX, axis=1), "tda4vm", "11.0", "axis -3", "convert_softmax_unsupported_axis"),
    (conv((4, 4), 1, op=_T), "tda4vm", "11.0", "4×4 with stride 1", "Resize"),
    (conv((3, 3), 2, op=_T), "tda4vm", "11.0", "3×3 with stride 2", "Resize"),
    (conv((4, 4), 2, groups=4, op=_T), "am62a", "11.0", "4 groups", "Resize (linear"),
    (conv((4, 4), 2, dilation=2, op=_T), "am62a", "newer", "dilation 2", "dilation 1"),
    (one(Op.CONCAT, (2, 4, 4, 4), twice=True, axis=1), "tda4vm", "11.0", "axis -4", "transpose"),
    (one(Op.SLICE, axes=(2,), starts=(0,), ends=(16,), strides=(2,)), "tda4vm", "11.0", "steps 2",
     "convert_non_singular_strided_slice"),
    (one(Op.ARGMAX, axis=2, keepdims=True), "tda4vm", "11.0", "axis -2", "convert_unsupported_arg"),
    (one(Op.ARGMAX, (10,), axis=1, keepdims=True), "tda4vm", "11.0", "axis -1", "on the host"),
    (one(Op.ARGMAX, axis=1), "tda4vm", "11.0", "keepdims 0", "convert_unsupported_argmax"),
    (resize((12, 12), "half_pixel"), "tda4vm", "11.0", "8×8 to 12×12", "params_size_to_scale"),
    (resize((16, 32), "half_pixel"), "tda4vm", "11.0", "8×8 to 16×32", "resize by 2"),
    (resize((4, 4), "half_pixel"), "tda4vm", "11.0", "8×8 to 4×4", "resize by 2"),
    (resize((16, 16), "align_corners"), "tda4vm", "11.0", "linear with align_corners", "export"),
    (resize((16, 16), "asymmetric"), "tda4vm", "11.0", "linear with asymmetric", "export"),
    (resize((16, 16), "half_pixel", "floor"), "tda4vm", "11.0", "half_pixel and floor", "export"),
    (one(Op.RESIZE_BILINEAR, (4, 1, 1), sizes=(1, 1), coordinates="pytorch_half_pixel"), "tda4vm",
     "11.0", "an output of 1×1", "remove_unity_resize"),
    (one(Op.PAD, pads=(1, 0, 0, 1, 0, 0)), "tda4vm", "11.0", "1×0×0", "convert_pad_above"),
    (one(Op.PAD, pads=(0, 1, 1, 0, 1, 1), value=1.0), "am68a", "newer", "with 1", "zeros"),
    (conv((3,), shape=(4, 9), stride=2, groups=4), "tda4vm", "newer", "depthwise", "ordinary"),
    (one(Op.MATMUL, (2, 3, 4, 2, 2), twice=True), "tda4vm", "11.0", "2×3×4×2×2", "reshape"),
]  # fmt: skip

#: The same networks where they are allowed, and others that keep every limit.
RUNS: list[tuple[Graph, str, Release]] = [
    (conv(), "tda4vm", "11.0"),
    (conv(stride=3), "tda4vm", "11.0"),
    (conv((11, 11), 4), "tda4vm", "11.0"),
    (conv((1, 3), groups=4), "tda4vm", "newer"),
    (conv(groups=4, stride=2), "am62a", "11.0"),
    (conv((7, 3), pads=(3, 1, 3, 1), shape=(4, 9, 2)), "tda4vm", "11.0"),
    (conv(stride=2, dilation=2), "tda4vm", "11.0"),
    (one(Op.GLOBAL_AVG_POOL, (4, 32, 32)), "tda4vm", "11.0"),
    (one(Op.CLIP, lo=0.0, hi=6.0), "tda4vm", "11.0"),
    (one(Op.CLIP, lo=-1.0, hi=None), "tda4vm", "11.0"),
    (one(Op.ADD, constants=[(4, 1, 1)]), "tda4vm", "11.0"),
    (one(Op.ADD, constants=[(16,)]), "tda4vm", "11.0"),
    (one(Op.SUB, constants=[(1,)]), "tda4vm", "11.0"),
    (one(Op.SUB, twice=True), "tda4vm", "newer"),
    (one(Op.SOFTMAX, (10,), axis=1), "tda4vm", "11.0"),
    (one(Op.SOFTMAX, axis=-2), "tda4vm", "11.0"),
    (conv((4, 4), 2, op=_T), "am62a", "11.0"),
    (conv((3, 3), 2, op=_T), "am62a", "newer"),
    (conv((4, 4), 2, groups=4, op=_T), "am62a", "newer"),
    (one(Op.CONCAT, twice=True, axis=1), "tda4vm", "8.x"),
    (one(Op.CONCAT, (5,), twice=True, axis=1), "tda4vm", "11.0"),
    (one(Op.ARGMAX, axis=1, keepdims=True), "tda4vm", "11.0"),
    (resize((16, 16), "half_pixel"), "tda4vm", "11.0"),
    (resize((32, 32), "asymmetric", "floor"), "tda4vm", "11.0"),
    (resize((16, 16), "half_pixel", "round_prefer_ceil"), "tda4vm", "11.0"),
    (one(Op.PAD, pads=(0, 1, 1, 0, 1, 1), value=1.0), "am68a", "11.0"),
    (one(Op.PIXEL_SHUFFLE, factor=2), "am68a", "11.0"),
    (one(Op.SIGMOID), "am68a", "11.0"),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[1]}-{case[2]}-{case[3]}")
def test_broken_limits_are_refused(case: tuple[Graph, str, Release, str, str]) -> None:
    """The reason says what was found, the remedy names TI's rewrite or another way."""
    graph, device, release, reason, remedy = case
    found = judged(graph, device, release)
    assert found.is_refused
    assert not found.is_accelerated
    assert reason in found.refusal[0]
    assert remedy in found.refusal[1]


@pytest.mark.parametrize(
    "case", RUNS, ids=lambda case: f"{case[0].nodes[0].op}-{case[1]}-{case[2]}"
)
def test_kept_limits_run(case: tuple[Graph, str, Release]) -> None:
    """Nothing is refused, left to the Arm core or warned of."""
    found = judged(*case)
    assert not found.is_refused
    assert found.is_accelerated
    assert not found.with_severity(Severity.WARNED)


@pytest.mark.parametrize(
    ("graph", "release", "words"),
    [
        (pool(Op.MAX_POOL, 5, 2), "11.0", "convert_maxpool_to_cascaded_maxpool"),
        (pool(Op.AVG_POOL, 2, 1), "newer", "not 2x2 with stride 1"),
        (conv((4, 4)), "11.0", "convert_conv_even_filter_to_odd"),
        (conv((9, 9)), "9.x", "validated kernels"),
        (conv((3, 3, 3), shape=(4, 5, 5, 5)), "11.0", "two axes"),
        (one(Op.CONCAT, twice=True, axis=3), "8.x", "convert_concat_axis_width_to_channel"),
    ],
)
def test_what_is_not_validated_is_warned_of(graph: Graph, release: Release, words: str) -> None:
    """It is neither refused nor silent."""
    found = judged(graph, "tda4vm", release)
    assert not found.is_refused
    warned = found.with_severity(Severity.WARNED)
    assert any(words in b.reason + b.remedy for b in warned)


def test_layers_of_the_arm_core() -> None:
    """Functions by tables on AM62A and differences of two tensors are not accelerated."""
    for graph, device in ((one(Op.SIGMOID), "am62a"), (one(Op.SUB, twice=True), "tda4vm")):
        found = judged(graph, device)
        assert not found.is_refused
        assert not found.is_accelerated


def test_sixteen_bits_are_judged() -> None:
    """A 16-bit transposed convolution is refused on AM62A and AM67A alone."""
    graph = conv((4, 4), 2, op=_T)
    assert "16 bits" in judged(graph, "am62a", bits=16).refusal[0]
    assert judged(graph, "am67a", bits=16).is_refused
    assert not judged(graph, "am68a", bits=16).is_refused
    assert not judged(graph, "am62a", bits=8).is_refused


def test_widths_may_be_given_by_the_last_tensor_of_a_layer() -> None:
    """TI names the last output of a merged layer: the rectifier's counts for its convolution."""
    net = Net((4, 8, 8))
    weight = net.constant("w", np.ones((4, 4, 4, 4)))
    up = net.builder.add(_T, [net.x, weight], "up", strides=(2, 2), pads=(1,) * 4,
                         dilations=(1, 1), groups=1)  # fmt: skip
    graph = net.finish(net.relu(up))
    options = TidlOptions(output_feature_16bit_names=("up.relu",))
    found = judge(graph, current_setting(DEVICES["am62a"], options))
    assert [one.is_refused for one in found] == [True, False]


def test_notes_say_what_runs_otherwise() -> None:
    """NxN with stride N, slices of two axes, and transposed convolutions run, with a remark."""
    slices = one(Op.SLICE, axes=(2, 3), starts=(0, 0), ends=(8, 8))
    for graph, release in (
        (conv(stride=3), "9.x"),
        (slices, "11.0"),
        (conv((4, 4), 2, op=_T), "11.0"),
    ):
        found = judged(graph, "tda4vm", release)
        assert not found.is_refused
        assert found.with_severity(Severity.NOTED)
