"""Every Caffe layer computes what Caffe's formulas say, written out here with plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.caffe import wire
from tests.tidl.caffe.networks import header, imported, layer, result, run

RANDOM = np.random.default_rng(7)
IMAGE = RANDOM.normal(size=(2, 4, 6, 5))


def caffe_pool(x, kernel, stride, pad, method):
    """Pool as Caffe's CPU code does: sizes rounded up, windows clipped to the padded map."""
    height, width = x.shape[2:]
    sizes = []
    for size in (height, width):
        count = int(np.ceil((size + 2 * pad - kernel) / stride)) + 1
        if pad and (count - 1) * stride >= size + pad:
            count -= 1
        sizes.append(count)
    out = np.empty((*x.shape[:2], *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * stride - pad, j * stride - pad
            bottom, right = min(top + kernel, height + pad), min(left + kernel, width + pad)
            area = (bottom - top) * (right - left)
            window = x[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
            total = window.sum((2, 3)) / area
            out[:, :, i, j] = window.max((2, 3)) if method == "MAX" else total
    return out


@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)), kernel=st.integers(1, 3),
    stride=st.integers(1, 3), pad=st.integers(0, 2), method=st.sampled_from(["MAX", "AVE"]),
)  # fmt: skip
def test_pools_round_up_as_caffe_does(  # noqa: PLR0917 - one argument per random part
    tmp_path_factory, size, kernel, stride, pad, method
):
    """Sizes and numbers equal Caffe's loop for every geometry that Caffe accepts."""
    pad, stride = min(pad, kernel - 1), min(stride, kernel)
    said = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}"
    settings = f"pooling_param {{ {said} }}"
    text = header(2, *size) + layer("pool", "Pooling", settings)
    x = np.random.default_rng(kernel).normal(size=(1, 2, *size))
    found = result(tmp_path_factory.mktemp("pool"), text, x)
    np.testing.assert_allclose(found, caffe_pool(x, kernel, stride, pad, method), atol=1e-12)


def test_other_forms_of_pooling(tmp_path: Path) -> None:
    """Global pools, rounding down, and a kernel of two sizes."""
    text = header(4, 6, 5)
    whole = layer("p", "Pooling", "pooling_param { pool: AVE global_pooling: true }")
    np.testing.assert_allclose(
        result(tmp_path, text + whole, IMAGE), IMAGE.mean((2, 3), keepdims=True)
    )
    down = "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }"
    assert result(tmp_path, text + layer("p", "Pooling", down), IMAGE).shape == (2, 4, 3, 2)
    high = "pooling_param { kernel_h: 3 kernel_w: 1 stride_h: 3 stride_w: 1 }"
    expected = IMAGE.reshape(2, 4, 2, 3, 5).max(3)
    found = result(tmp_path, text + layer("p", "Pooling", high), IMAGE)
    np.testing.assert_array_equal(found, expected)


def test_convolution_with_groups_dilation_and_two_sizes(tmp_path: Path) -> None:
    """Weights are (out, in/groups, h, w); a loop over windows gives the same numbers."""
    weights = RANDOM.normal(size=(6, 2, 3, 1)).astype("f4")
    bias = RANDOM.normal(size=6).astype("f4")
    settings = (
        "convolution_param { num_output: 6 kernel_h: 3 kernel_w: 1 group: 2 stride: 2 "
        "pad_h: 2 pad_w: 0 dilation: 2 dilation: 1 }"
    )
    model = wire.layer("c", "Convolution", [wire.blob(weights.shape, weights),
                                            wire.blob((6,), bias)])  # fmt: skip
    found = result(tmp_path, header(4, 6, 5) + layer("c", "Convolution", settings), IMAGE, model)
    padded = np.pad(IMAGE, ((0, 0), (0, 0), (2, 2), (0, 0)))
    for out in range(6):
        first = 2 * (out // 3)
        for i in range(found.shape[2]):
            for j in range(found.shape[3]):
                window = padded[:, first : first + 2, 2 * i : 2 * i + 5 : 2, 2 * j : 2 * j + 1]
                expected = (window * weights[out]).sum((1, 2, 3)) + bias[out]
                np.testing.assert_allclose(found[:, out, i, j], expected, atol=1e-12)


def test_bilinear_deconvolution_spreads_every_pixel(tmp_path: Path) -> None:
    """The filler's taps 1/4, 3/4 and the spreading of a transposed convolution, pixel by pixel."""
    settings = (
        "param { lr_mult: 0 } convolution_param { num_output: 4 bias_term: false kernel_size: 4 "
        'stride: 2 pad: 1 group: 4 weight_filler { type: "bilinear" } }'
    )
    found = imported(tmp_path, header(4, 6, 5) + layer("up", "Deconvolution", settings))
    assert "up.weight:fixed" in found.graph.constants
    (y,) = run(found.graph, IMAGE)
    taps = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
    spread = np.zeros((2, 4, 14, 12))
    for i in range(6):
        for j in range(5):
            spread[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += (
                IMAGE[:, :, i : i + 1, j : j + 1] * taps
            )
    np.testing.assert_allclose(y, spread[:, :, 1:-1, 1:-1], atol=1e-12)


@pytest.mark.parametrize("transpose", [False, True])
def test_inner_product_flattens_from_its_axis(tmp_path: Path, transpose: bool) -> None:
    """Weights are (out, in), or (in, out) where the file says transpose."""
    weights = RANDOM.normal(size=(3, 120)).astype("f4")
    stored = weights.T if transpose else weights
    said = "transpose: true" if transpose else ""
    settings = f"inner_product_param {{ num_output: 3 bias_term: false {said} }}"
    model = wire.layer("fc", "InnerProduct", [wire.blob(stored.shape, stored)])
    found = result(tmp_path, header(4, 6, 5) + layer("fc", "InnerProduct", settings), IMAGE, model)
    np.testing.assert_allclose(found, IMAGE.reshape(2, -1) @ weights.T.astype(float), atol=1e-12)


ACTIVATIONS = {
    "ReLU": ("", lambda x: np.maximum(x, 0)),
    "ReLU ": ("relu_param { negative_slope: 0.1 }", lambda x: np.where(x > 0, x, 0.1 * x)),
    "ReLU6": ("", lambda x: np.clip(x, 0, 6)),
    "Clip": ("clip_param { min: -0.5 max: 0.25 }", lambda x: np.clip(x, -0.5, 0.25)),
    "PReLU": ("", lambda x: np.where(x > 0, x, 0.25 * x)),
    "AbsVal": ("", np.abs),
    "Sigmoid": ("", lambda x: 1 / (1 + np.exp(-x))),
    "TanH": ("", np.tanh),
    "Swish": ("", lambda x: x / (1 + np.exp(-x))),
    "Power": ("power_param { scale: 2 shift: -1 }", lambda x: 2 * x - 1),
    "Dropout": ("", lambda x: x),
    "Softmax": ("", lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    "ArgMax": ("argmax_param { axis: 1 }", lambda x: x.argmax(1)[:, None]),
    "ArgMax ": ("", lambda x: x.reshape(2, -1).argmax(1)[:, None, None]),
}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations(tmp_path: Path, kind: str) -> None:
    """Element-wise layers and decisions follow their formulas."""
    settings, formula = ACTIVATIONS[kind]
    found = result(tmp_path, header(4, 6, 5) + layer("a", kind.strip(), settings), IMAGE)
    np.testing.assert_allclose(found, formula(IMAGE), atol=1e-12)


MOVES = {
    "Flatten": ("", lambda x: x.reshape(2, -1)),
    "Flatten ": ("flatten_param { axis: 1 end_axis: 2 }", lambda x: x.reshape(2, 24, 5)),
    "Permute": ("permute_param { order: 0 order: 2 order: 3 order: 1 }",
                lambda x: x.transpose(0, 2, 3, 1)),
    "Permute ": ("permute_param { order: 0 order: 3 }", lambda x: x.transpose(0, 3, 1, 2)),
    "Reshape": ("reshape_param { shape { dim: 0 dim: -1 dim: 5 } }", lambda x: x.reshape(2, 24, 5)),
    "Reshape ": ("reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }",
                 lambda x: x.reshape(2, 2, 2, 6, 5)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MOVES)
def test_layers_that_move_values(tmp_path: Path, kind: str) -> None:
    """Shapes and orders are numpy's."""
    settings, formula = MOVES[kind]
    found = result(tmp_path, header(4, 6, 5) + layer("m", kind.strip(), settings), IMAGE)
    np.testing.assert_array_equal(found, formula(IMAGE))


def test_slices_crops_and_concatenations(tmp_path: Path) -> None:
    """Slice cuts at its points or evenly, Crop at its offsets, Concat joins along its axis."""
    text = header(4, 6, 5)
    cut = layer("s", "Slice", "slice_param { axis: 1 slice_point: 1 slice_point: 3 }", top="a b c")
    join = layer("j", "Concat", "concat_param { axis: 1 }", bottom="c a b")
    found = result(tmp_path, text + cut + join, IMAGE)
    np.testing.assert_array_equal(found, IMAGE[:, [3, 0, 1, 2]])
    even = layer("s", "Slice", "slice_param { axis: 2 }", top="a b c")
    crop = layer("k", "Crop", "crop_param { axis: 2 offset: 3 offset: 0 }", bottom="data a")
    total = layer("e", "Eltwise", "eltwise_param { coeff: 2 coeff: -1 coeff: 1 }", "b c k")
    found = result(tmp_path, text + even + crop + total, IMAGE)
    expected = 2 * IMAGE[:, :, 2:4] - IMAGE[:, :, 4:6] + IMAGE[:, :, 3:5]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_eltwise_and_axpy(tmp_path: Path) -> None:
    """Sums, differences, products; and a factor per channel times x plus y."""
    text = header(4, 6, 5) + layer("half", "Power", "power_param { scale: 0.5 }")
    difference = layer("e", "Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", "data half")
    np.testing.assert_allclose(result(tmp_path, text + difference, IMAGE), IMAGE / 2)
    product = layer("e", "Eltwise", "eltwise_param { operation: PROD }", "data half")
    np.testing.assert_allclose(result(tmp_path, text + product, IMAGE), IMAGE**2 / 2)
    gate = layer("g", "Pooling", "pooling_param { pool: AVE global_pooling: true }")
    axpy = layer("x", "Axpy", bottom="g data half")
    expected = IMAGE.mean((2, 3), keepdims=True) * IMAGE + IMAGE / 2
    np.testing.assert_allclose(result(tmp_path, text + gate + axpy, IMAGE), expected, atol=1e-12)


def test_scale_and_bias_along_any_axis(tmp_path: Path) -> None:
    """One number per channel, per channel and row, or per entry of another blob."""
    text = header(4, 6, 5)
    two = RANDOM.normal(size=(2, 4, 6)).astype("f4").astype(float)
    settings = "scale_param { axis: 1 num_axes: 2 bias_term: true }"
    model = wire.layer("s", "Scale", [wire.blob((4, 6), two[0]), wire.blob((4, 6), two[1])])
    found = result(tmp_path, text + layer("s", "Scale", settings), IMAGE, model)
    np.testing.assert_allclose(found, IMAGE * two[0][..., None] + two[1][..., None], atol=1e-12)
    gate = layer("g", "Pooling", "pooling_param { pool: AVE global_pooling: true }")
    flat = layer("f", "Flatten", bottom="g")
    both = layer("s", "Scale", bottom="data f")
    found = result(tmp_path, text + gate + flat + both, IMAGE)
    np.testing.assert_allclose(found, IMAGE * IMAGE.mean((2, 3), keepdims=True), atol=1e-12)
    bias = layer("b", "Bias", "bias_param { axis: 3 }")
    model = wire.layer("b", "Bias", [wire.blob((5,), two[0, 0, :5])])
    found = result(tmp_path, text + bias, IMAGE, model)
    np.testing.assert_allclose(found, IMAGE + two[0, 0, :5], atol=1e-12)
    added = layer("b", "Bias", bottom="data f")
    found = result(tmp_path, text + gate + flat + added, IMAGE)
    np.testing.assert_allclose(found, IMAGE + IMAGE.mean((2, 3), keepdims=True), atol=1e-12)
