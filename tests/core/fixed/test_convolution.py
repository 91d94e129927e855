"""Convolution, transposed convolution, linear and matmul against definition and torch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.core.fixed.exact import conv_nd, conv_transpose_nd

from nibblefit.fixed.geometry import transposed_sizes, window
from nibblefit.fixed.operators import convolution, product

SEED = st.integers(0, 2**32 - 1)


@st.composite
def conv_cases(draw, *, transposed: bool = False):
    """Draw shapes and geometry of a small 1-D to 3-D convolution that has an output."""
    axes = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    per_axis = lambda lo, hi: tuple(draw(st.integers(lo, hi)) for _ in range(axes))  # noqa: E731
    case = {
        "groups": groups,
        "channels": groups * draw(st.integers(1, 2)),
        "out": groups * draw(st.integers(1, 2)),
        "kernel": per_axis(1, 3),
        "strides": per_axis(1, 3),
        "dilations": per_axis(1, 2),
        "sizes": per_axis(1, 6 if axes < 3 else 4),
        "pads": per_axis(0, 2) + per_axis(0, 2),
    }
    if transposed:
        case["extra"] = tuple(
            draw(st.integers(0, max(s, d) - 1))
            for s, d in zip(case["strides"], case["dilations"], strict=True)
        )
    return case


def random_arrays(case, seed, *, transposed=False, lo=-128, hi=127):
    rng = np.random.default_rng(seed)
    x = rng.integers(lo, hi, (2, case["channels"], *case["sizes"]), endpoint=True)
    lead = (case["channels"], case["out"]) if transposed else (case["out"], case["channels"])
    shape = (lead[0], lead[1] // case["groups"], *case["kernel"])
    w = rng.integers(lo, hi, shape, endpoint=True)
    return x, w, rng.integers(-1000, 1000, case["out"])


def window_of(case):
    return window(case["kernel"], case["strides"], case["pads"], case["dilations"])


@given(conv_cases(), SEED)
def test_conv_equals_its_definition(case, seed):
    """Any geometry, groups and padding: every sum equals nested loops over Python ints."""
    geometry = window_of(case)
    sizes = geometry.output_sizes(case["sizes"])
    x, w, bias = random_arrays(case, seed)
    if min(sizes) < 1:
        return
    found = convolution.conv(x, w, bias, geometry, case["groups"])
    assert found.dtype == np.int64
    expected = conv_nd(x[1].tolist(), w.tolist(), bias.tolist(), strides=case["strides"],
                       pads=case["pads"], dilations=case["dilations"], groups=case["groups"],
                       sizes_out=sizes)  # fmt: skip
    assert {i: int(found[(1, *i)]) for i in np.ndindex(found.shape[1:])} == expected


@given(conv_cases(), SEED)
def test_conv_in_float64_equals_torch(case, seed):
    """The same formula on float64 is torch's convolution; asymmetric pads are padded first."""
    geometry = window_of(case)
    if min(geometry.output_sizes(case["sizes"])) < 1:
        return
    x, w, bias = (a.astype(np.float64) for a in random_arrays(case, seed))
    widths = [
        w for pair in zip(geometry.begins()[::-1], geometry.ends()[::-1], strict=True) for w in pair
    ]
    padded = torch.nn.functional.pad(torch.from_numpy(x), widths)
    function = getattr(torch.nn.functional, f"conv{len(case['sizes'])}d")
    expected = function(padded, torch.from_numpy(w), torch.from_numpy(bias), case["strides"], 0,
                        case["dilations"], case["groups"])  # fmt: skip
    found = convolution.conv(x, w, bias, geometry, case["groups"])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-9)


@given(conv_cases(transposed=True), SEED)
def test_conv_transpose_equals_its_definition_and_torch(case, seed):
    """Spreading every input by its kernel, in Python ints and in torch where pads are symmetric."""
    sizes = transposed_sizes(case["sizes"], case["kernel"], case["strides"], case["pads"],
                             case["dilations"], output_padding=case["extra"])  # fmt: skip
    if min(sizes) < 1:
        return
    x, w, bias = random_arrays(case, seed, transposed=True)
    found = convolution.conv_transpose(
        x, w, bias, window_of(case), output_padding=case["extra"], groups=case["groups"]
    )
    expected = conv_transpose_nd(x[0].tolist(), w.tolist(), bias.tolist(), strides=case["strides"],
                                 pads=case["pads"], dilations=case["dilations"],
                                 groups=case["groups"], sizes_out=sizes)  # fmt: skip
    assert {i: int(found[(0, *i)]) for i in np.ndindex(found.shape[1:])} == expected
    axes = len(case["sizes"])
    if case["pads"][:axes] == case["pads"][axes:]:
        function = getattr(torch.nn.functional, f"conv_transpose{axes}d")
        torch_found = function(*(torch.from_numpy(a.astype(np.float64)) for a in (x, w, bias)),
                               case["strides"], case["pads"][:axes], case["extra"],
                               case["groups"], case["dilations"])  # fmt: skip
        assert (torch_found.numpy() == found).all()


@given(conv_cases(transposed=True), SEED)
def test_conv_transpose_in_float64_is_the_same_formula(case, seed):
    """Integers as doubles give the same integers."""
    x, w, bias = random_arrays(case, seed, transposed=True)
    sizes = transposed_sizes(case["sizes"], case["kernel"], case["strides"], case["pads"],
                             case["dilations"], output_padding=case["extra"])  # fmt: skip
    if min(sizes) < 1:
        return
    options = {"output_padding": case["extra"], "groups": case["groups"]}
    exact = convolution.conv_transpose(x, w, bias, window_of(case), **options)
    doubles = (a.astype(np.float64) for a in (x, w, bias))
    assert (convolution.conv_transpose(*doubles, window_of(case), **options) == exact).all()


def test_a_bias_per_image_joins_every_position_of_its_image():
    """Bias (batch, out), as targets with run-time scales need."""
    x, w = np.ones((2, 1, 3), dtype=np.int64), np.ones((2, 1, 1), dtype=np.int64)
    bias = np.array([[10, 20], [30, 40]])
    found = convolution.conv(x, w, bias, window((1,)))
    assert found[:, :, 0].tolist() == [[11, 21], [31, 41]]
    rows = convolution.linear(np.ones((2, 3, 1), dtype=np.int64), w[:, :, 0], bias)
    assert rows[:, 2].tolist() == [[11, 21], [31, 41]]


def test_many_images_are_unrolled_in_parts(monkeypatch):
    """The memory bound changes nothing in the result."""
    rng = np.random.default_rng(5)
    x, w = rng.integers(-9, 9, (7, 2, 5, 5)), rng.integers(-9, 9, (3, 2, 3, 3))
    whole = convolution.conv(x, w, None, window((3, 3)))
    monkeypatch.setattr(convolution, "COLUMNS_LIMIT", 1)
    assert (convolution.conv(x, w, None, window((3, 3))) == whole).all()


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), SEED)
def test_linear_and_matmul_equal_python_integers(rows, inner, columns, seed):
    """Every product sum over leading axes, batch and broadcast operands."""
    rng = np.random.default_rng(seed)
    a = rng.integers(-128, 128, (2, 3, rows, inner))
    b = rng.integers(-128, 128, (2, inner, columns))
    found = convolution.matmul(a, b)
    weights = b[0].T
    linear = convolution.linear(a, weights, np.arange(columns))
    for n, t, r, c in itertools.product(range(2), range(3), range(rows), range(columns)):
        row = a[n, t, r].tolist()
        assert found[n, t, r, c] == sum(
            p * q for p, q in zip(row, b[n, :, c].tolist(), strict=True)
        )
        total = sum(p * q for p, q in zip(row, weights[c].tolist(), strict=True)) + c
        assert linear[n, t, r, c] == total
    vector = convolution.matmul(a[:, 0, 0], b)
    assert (vector == found[:, 0, 0]).all()
    assert (convolution.linear(a, weights, None) == linear - np.arange(columns)).all()


@pytest.mark.parametrize(("bits", "kind"), [(20, np.float64), (30, np.int64)])
def test_every_way_of_summing_is_exact(bits, kind):
    """The float64 and the int64 product agree with Python on wide codes."""
    rng = np.random.default_rng(bits)
    a = rng.integers(-(2**bits), 2**bits, (3, 4), endpoint=True)
    b = rng.integers(-(2**bits), 2**bits, (4, 2), endpoint=True)
    assert product.exact_dtype(product.sum_bound(a, b, axis=-2)) == kind
    found = product.matmul(a, b)
    rows, columns = a.tolist(), b.T.tolist()
    assert found.tolist() == [
        [sum(p * q for p, q in zip(row, column, strict=True)) for column in columns] for row in rows
    ]


def test_the_float64_bound_is_sharp():
    """Just below 2^53 the float64 product is used, at 2^53 the integer one, both exact."""
    assert product.exact_dtype(2**53 - 1) == np.float64
    assert product.exact_dtype(2**53) == np.int64
    a = np.array([[2**52 + 1, 1]])
    b = np.array([[1], [2**52]])
    assert product.matmul(a, b).tolist() == [[2**53 + 1]]


def test_sums_beyond_int64_are_exact_or_refused():
    """Large products that cancel are returned; a sum that does not fit raises."""
    huge = np.array([[2**40, 2**40]])
    assert product.matmul(huge, np.array([[2**40], [-(2**40)]])).tolist() == [[0]]
    with pytest.raises(OverflowError, match="does not fit 64 bits"):
        product.matmul(huge, huge.T)
    assert product.sum_bound(np.zeros((0, 2), dtype=np.int64), huge.T, axis=0) == 0
    wide = np.full((4, 2), 2**62)
    assert product.sum_bound(wide, wide, axis=0) == 2**62 * 2**62 * 8
