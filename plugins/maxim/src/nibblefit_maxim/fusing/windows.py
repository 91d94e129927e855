"""Pooling windows: which the hardware has, and larger ones as several smaller steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nibblefit.ir.attributes import spatial
from nibblefit.ir.graph import Node, Shape
from nibblefit.ir.ops import Op
from nibblefit_maxim.fusing.geometry import UnfitError, times
from nibblefit_maxim.layers import Pool, PoolKind
from nibblefit_maxim.parts import MAX_POOL_STRIDE, MAX_POOL_WINDOW, Part

_AVERAGES = frozenset({Op.AVG_POOL, Op.GLOBAL_AVG_POOL})
_GLOBAL = frozenset({Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL})
#: Largest distance of positions within a window. Source: ai8x-synthesis README, `pool_dilation`.
_MAX_DILATION = 16


def pads_of(node: Node, axes: int) -> tuple[int, ...]:
    """Return the padding of a pool node, begins then ends."""
    return () if node.op in _GLOBAL else tuple(spatial(node.attributes, "pads", 2 * axes, 0))


def pools_of(node: Node, shape: Shape, part: Part, *, is_rounded: bool) -> tuple[Pool, ...]:
    """Return the pooling steps of an unpadded pool node on data of `shape`, first one first.

    Args:
        node: The float node.
        shape: (channels, *spatial).
        part: The device.
        is_rounded: 2-D averages are rounded instead of truncated.

    Raises:
        UnfitError: The window or its stride is not available.
    """
    axes = len(shape) - 1
    kind = PoolKind.AVG if node.op in _AVERAGES else PoolKind.MAX
    rounded = is_rounded and kind is PoolKind.AVG and axes == 2
    if node.op in _GLOBAL:
        window = tuple(shape[1:])
        asked = Pool(kind, window, window, (1,) * axes, rounded)
    else:
        window = tuple(node.attributes["kernel"])
        strides = spatial(node.attributes, "strides", axes, 1)
        dilation = spatial(node.attributes, "dilations", axes, 1)
        pairs = zip(dilation, window, strict=True)
        asked = Pool(kind, window, strides, tuple(d if k > 1 else 1 for d, k in pairs), rounded)
        _check_ceil(node, asked, shape)
    _check_dilation(asked, shape, part)
    return _steps(asked, shape)


def pooled_shape(pool: Pool, shape: Shape) -> Shape:
    """Return the shape after pooling without padding."""
    sizes = zip(shape[1:], pool.window, pool.stride, pool.dilation, strict=True)
    return (shape[0], *((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in sizes))


def subsampling(strides: Sequence[int]) -> Pool:
    """Return the pool that reads every s-th position."""
    ones = (1,) * len(strides)
    return Pool(PoolKind.MAX, ones, tuple(strides), ones)


def _check_ceil(node: Node, pool: Pool, shape: Shape) -> None:
    sizes = zip(shape[1:], pool.window, pool.stride, strict=True)
    if node.attributes.get("ceil_mode") and any((n - k) % s for n, k, s in sizes):
        raise UnfitError("pooling drops incomplete windows", "set ceil_mode = False")


def _check_dilation(pool: Pool, shape: Shape, part: Part) -> None:
    if max(pool.dilation) == 1:
        return
    if not part.has_pool_dilation:
        raise UnfitError(
            f"pooling windows cannot be dilated on the {part.title}",
            'use dilation 1, or part = "max78002"',
        )
    # The compiler's output size equals the usual one for windows of two only, and its 1-D pools
    # ignore the dilation (measured with ai8x-synthesis ab4f4c0).
    sides = zip(pool.window, pool.dilation, strict=True)
    odd = any(d > 1 and k != 2 for k, d in sides) or max(pool.dilation) > _MAX_DILATION
    if len(shape) != 3 or odd or pool.kind is PoolKind.AVG:
        raise UnfitError(
            f"pooling window {times(pool.window)} with dilation {times(pool.dilation)} does not "
            "exist",
            "use dilation 1, or 2×2 windows of 2-D data",
        )


def _steps(pool: Pool, shape: Shape) -> tuple[Pool, ...]:
    """Return the pool, or several in a row that make the same windows out of smaller ones.

    Raises:
        UnfitError: The window is too large and no product of smaller ones.
    """
    if max(pool.window) <= MAX_POOL_WINDOW:
        return (_with_equal_strides(pool, shape),)
    for factor in range(MAX_POOL_WINDOW, 1, -1):
        shares = _shares(pool, shape, factor)
        if shares is None:
            continue
        first = replace(pool, window=shares, stride=shares)
        pairs = zip(pool.window, pool.stride, shares, strict=True)
        left = [(k // share, max(s // share, 1)) for k, s, share in pairs]
        windows, strides = zip(*left, strict=True)
        rest = replace(pool, window=windows, stride=strides)
        try:
            return (_with_equal_strides(first, shape), *_steps(rest, pooled_shape(first, shape)))
        except UnfitError:
            continue
    raise UnfitError(
        f"pooling window {times(pool.window)}, stride {times(pool.stride)}, exceeds "
        f"{MAX_POOL_WINDOW} and is not made of smaller windows",
        "pool in two steps, or choose a window that is a product of numbers up to 16",
    )


def _shares(pool: Pool, shape: Shape, factor: int) -> tuple[int, ...] | None:
    """Return the sides of a first step that tiles the windows, None if it cannot."""
    if max(pool.dilation) > 1:
        return None
    shares = []
    for size, window, stride in zip(shape[1:], pool.window, pool.stride, strict=True):
        is_whole = size == window  # one result, whatever the stride
        if is_whole and window <= MAX_POOL_WINDOW:
            shares.append(window)
        elif window % factor == 0 and (is_whole or stride % factor == 0):
            shares.append(factor)
        else:
            return None
    return tuple(shares)


def _with_equal_strides(pool: Pool, shape: Shape) -> Pool:
    """Return the pool with one stride for all axes; an axis with one result takes any.

    Raises:
        UnfitError: The strides differ and matter, or are too large.
    """
    counts = pooled_shape(pool, shape)[1:]
    needed = {s for s, count in zip(pool.stride, counts, strict=True) if count > 1}
    ordered = sorted(needed) or sorted({min(s, MAX_POOL_STRIDE) for s in pool.stride})[::-1]
    common = replace(pool, stride=(ordered[0],) * len(counts))
    if len(needed) > 1 or pooled_shape(common, shape)[1:] != counts:
        raise UnfitError(
            f"pooling stride {times(pool.stride)} differs between axes", "use equal strides"
        )
    if ordered[0] > MAX_POOL_STRIDE:
        raise UnfitError(
            f"pooling stride {ordered[0]} exceeds {MAX_POOL_STRIDE}", "pool in two steps"
        )
    return common
