"""Pools against loops over windows and against torch, partial windows included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from nibblefit.fixed.geometry import window
from nibblefit.fixed.operators import pooling

SEED = st.integers(0, 2**32 - 1)


@st.composite
def pool_cases(draw, *, dilated: bool = True):
    """Draw a window with pads below half its kernel (torch's limit) and an input it fits."""
    axes = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    begins = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    geometry = window(
        kernel,
        tuple(draw(st.integers(1, 3)) for _ in range(axes)),
        begins + begins,
        tuple(draw(st.integers(1, 2 if dilated else 1)) for _ in range(axes)),
        draw(st.booleans()),
    )
    sizes = tuple(draw(st.integers(3, 6 if axes < 3 else 4)) for _ in range(axes))
    return geometry, sizes


def windows(image, geometry):
    """Yield position and the samples of the input that each window really sees."""
    sizes = image.shape
    for position in itertools.product(*map(range, geometry.output_sizes(sizes))):
        seen = []
        for tap in itertools.product(*map(range, geometry.kernel)):
            place = tuple(
                p * s + t * d - b
                for p, s, t, d, b in zip(position, geometry.strides, tap, geometry.dilations,
                                         geometry.begins(), strict=True)
            )  # fmt: skip
            if all(0 <= i < size for i, size in zip(place, sizes, strict=True)):
                seen.append(int(image[place]))
        yield position, seen


@given(pool_cases(), SEED)
def test_pools_equal_loops_over_windows(case, seed):
    """Max, sum and the number of real samples under each window."""
    geometry, sizes = case
    assume(min(geometry.output_sizes(sizes)) >= 1)
    x = np.random.default_rng(seed).integers(-128, 128, (1, 2, *sizes))
    largest, total = pooling.max_pool(x, geometry), pooling.sum_pool(x, geometry)
    counts = pooling.window_counts(sizes, geometry, False)
    for position, seen in windows(x[0, 1], geometry):
        if seen:
            assert largest[(0, 1, *position)] == max(seen)
        assert total[(0, 1, *position)] == sum(seen)
        assert counts[position] == len(seen)


@given(pool_cases(), SEED)
def test_max_pool_equals_torch(case, seed):
    """Shapes (ceil_mode included) and values equal torch's."""
    geometry, sizes = case
    assume(min(geometry.output_sizes(sizes)) >= 1)
    x = np.random.default_rng(seed).normal(size=(2, 2, *sizes))
    function = getattr(torch.nn.functional, f"max_pool{len(sizes)}d")
    expected = function(torch.from_numpy(x), geometry.kernel, geometry.strides, geometry.begins(),
                        geometry.dilations, geometry.ceil_mode)  # fmt: skip
    assert (pooling.max_pool(x, geometry) == expected.numpy()).all()


@given(pool_cases(dilated=False), st.booleans(), SEED)
def test_average_equals_torch(case, include, seed):
    """Sum over count equals torch's average, for both meanings of padding."""
    geometry, sizes = case
    assume(min(geometry.output_sizes(sizes)) >= 1)
    x = np.random.default_rng(seed).normal(size=(2, 2, *sizes))
    function = getattr(torch.nn.functional, f"avg_pool{len(sizes)}d")
    expected = function(torch.from_numpy(x), geometry.kernel, geometry.strides, geometry.begins(),
                        geometry.ceil_mode, include)  # fmt: skip
    found = pooling.sum_pool(x, geometry) / pooling.window_counts(sizes, geometry, include)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-12)


def test_global_pools_keep_spatial_axes_of_one():
    """One value per channel."""
    x = np.arange(12).reshape(1, 2, 2, 3)
    assert pooling.global_max_pool(x).tolist() == [[[[5]], [[11]]]]
    assert pooling.global_sum_pool(x).tolist() == [[[[15]], [[51]]]]


def test_padding_never_wins_a_maximum():
    """All-negative inputs stay negative at the border."""
    x = np.full((1, 1, 2, 2), -5)
    assert np.unique(pooling.max_pool(x, window((3, 3), (1, 1), (1, 1, 1, 1)))).tolist() == [-5]


def test_sums_that_may_pass_int64_are_refused():
    """A pool never wraps silently."""
    x = np.full((1, 1, 4), 2**62)
    with pytest.raises(OverflowError, match="may pass 64 bits"):
        pooling.sum_pool(x, window((2,)))
    with pytest.raises(OverflowError, match="may pass 64 bits"):
        pooling.global_sum_pool(x)
