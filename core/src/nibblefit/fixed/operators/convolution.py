"""Convolution, transposed convolution, linear layer and matrix product."""

from __future__ import annotations

import itertools
import math

import numpy as np

from nibblefit.fixed.geometry import Window, transposed_sizes
from nibblefit.fixed.operators import product
from nibblefit.fixed.operators.product import Array
from nibblefit.fixed.operators.windows import cuts, taps

#: Entries of the unrolled input held at once; 2^23 of float64 are 64 MiB.
COLUMNS_LIMIT = 1 << 23


def conv(x: Array, weights: Array, bias: Array | None, window: Window, groups: int = 1) -> Array:
    """Return ``y[n,o,p] = Σ_c Σ_t w[o,c,t] · x[n, c, p·stride + t·dilation − pad] + bias[o]``.

    Args:
        x: (batch, channels, *spatial); zero outside.
        weights: (out, channels/groups, *kernel). Group g of the outputs sees group g of the inputs.
        bias: (out,), (batch, out), or None.
        window: Geometry; its kernel is the weights'.
        groups: Channel groups that do not see each other.
    """
    positions = window.output_sizes(x.shape[2:])
    out = np.empty((x.shape[0], weights.shape[0], *positions), dtype=x.dtype)
    integer = product.is_integer(x)
    kernel = weights.reshape(groups, weights.shape[0] // groups, -1)
    if integer:
        kind = product.exact_dtype(product.sum_bound(x, kernel, axis=-1))
        x, kernel = x.astype(kind), kernel.astype(kind)
    per_image = x.shape[1] * math.prod(window.kernel) * math.prod(positions)
    step = max(1, COLUMNS_LIMIT // max(1, per_image))
    for start in range(0, len(x), step):
        sums = _correlate(x[start : start + step], kernel, window)
        out[start : start + step] = product.to_int64(sums) if integer else sums
    return add_bias(out, bias)


def _correlate(x: Array, kernel: Array, window: Window) -> Array:
    """Multiply kernel (groups, out, k) with the unrolled windows (batch, groups, k, positions)."""
    batch, groups = x.shape[0], kernel.shape[0]
    seen = np.stack(list(taps(x, window)), axis=2)  # (batch, channels, taps, *positions)
    columns = seen.reshape(batch, groups, kernel.shape[2], -1)
    sums: Array = np.matmul(kernel, columns)
    return sums.reshape(batch, -1, *seen.shape[3:])


def conv_transpose(
    x: Array, weights: Array, bias: Array | None, window: Window,
    *, output_padding: tuple[int, ...], groups: int = 1,
) -> Array:  # fmt: skip
    """Return ``y[n,o,i·stride + t·dilation − pad] += Σ_c w[c,o,t] · x[n,c,i]`` plus the bias.

    Args:
        x: (batch, channels, *spatial).
        weights: (channels, out/groups, *kernel).
        bias: (out,), (batch, out), or None.
        window: Geometry; its kernel is the weights'.
        output_padding: Positions added at the end of each axis; they are computed, not zero.
        groups: Channel groups that do not see each other.
    """
    batch, channels, *sizes = x.shape
    per_group = weights.shape[1]
    pixels = x.reshape(batch, groups, channels // groups, math.prod(sizes)).swapaxes(-1, -2)
    kernel = weights.reshape(groups, channels // groups, -1)
    spread = product.matmul(pixels, kernel)  # (batch, groups, pixels, per_group · taps)
    tap_count = math.prod(window.kernel)
    spread = spread.reshape(batch, groups, math.prod(sizes), per_group, tap_count)
    spread = np.moveaxis(spread, 2, -1).reshape(batch, groups * per_group, tap_count, *sizes)
    if product.is_integer(spread):
        # The taps that meet in one output are added in a type that holds their sum.
        kind = product.exact_dtype(product.largest(spread) * spread.shape[2])
        sums = product.to_int64(_scatter(spread.astype(kind), window, output_padding))
    else:
        sums = _scatter(spread, window, output_padding)
    return add_bias(sums, bias)


def _scatter(spread: Array, window: Window, output_padding: tuple[int, ...]) -> Array:
    """Add (batch, out, taps, *sizes) up where each tap lands, then cut the padding off."""
    batch, out, _, *sizes = spread.shape
    sizes_out = transposed_sizes(
        sizes,
        window.kernel,
        window.strides,
        window.pads,
        window.dilations,
        output_padding=output_padding,
    )
    begins = window.begins()
    full = [
        max(begin + size_out, (size - 1) * stride + span)
        for begin, size_out, size, stride, span in zip(
            begins, sizes_out, sizes, window.strides, window.spans(), strict=True
        )
    ]
    canvas = np.zeros((batch, out, *full), dtype=spread.dtype)
    for index, tap in enumerate(itertools.product(*map(range, window.kernel))):
        canvas[cuts(tap, window, tuple(sizes))] += spread[:, :, index]
    inside = (slice(b, b + size) for b, size in zip(begins, sizes_out, strict=True))
    return canvas[(slice(None), slice(None), *inside)]


def linear(x: Array, weights: Array, bias: Array | None) -> Array:
    """Return ``y[…,o] = Σ_i w[o,i] · x[…,i] + bias[o]`` over the last axis.

    Args:
        x: (batch, …, in).
        weights: (out, in).
        bias: (out,), (batch, out), or None.
    """
    rows = product.matmul(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), weights.T)
    sums = rows.reshape(*x.shape[:-1], weights.shape[0])
    if bias is None:
        return sums
    return product.add(sums, raise_rank(bias, sums.ndim) if bias.ndim == 2 else bias)


def matmul(a: Array, b: Array) -> Array:
    """Return the matrix product over the last two axes; axis 0 of both is the batch.

    Operands of fewer axes get ones after the batch axis. A vector operand a, (batch, k), is one
    row, and the result drops that row again.
    """
    if a.ndim == 2:
        return product.matmul(raise_rank(a[:, None, :], b.ndim), b)[..., 0, :]
    rank = max(a.ndim, b.ndim)
    return product.matmul(raise_rank(a, rank), raise_rank(b, rank))


def raise_rank(x: Array, rank: int) -> Array:
    """Return x with axes of size one inserted after the batch axis."""
    return x.reshape(x.shape[0], *(1,) * (rank - x.ndim), *x.shape[1:])


def add_bias(sums: Array, bias: Array | None) -> Array:
    """Return sums (batch, out, *positions) plus bias (out,) or (batch, out)."""
    if bias is None:
        return sums
    return product.add(sums, bias.reshape(*bias.shape, *(1,) * (sums.ndim - 2)))
