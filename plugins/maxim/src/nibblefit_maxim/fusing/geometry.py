"""Which windows and convolutions the hardware has, and what to do about the others."""

from __future__ import annotations

from nibblefit.ir.attributes import spatial
from nibblefit.ir.graph import Node, Shape
from nibblefit.ir.ops import Op
from nibblefit_maxim.layers import Operator, Pool, PoolKind
from nibblefit_maxim.parts import (
    CONV1D_KERNELS,
    CONV2D_KERNELS,
    MAX_PAD,
    MAX_POOL_STRIDE,
    MAX_POOL_WINDOW,
    Part,
)

#: A 1-D kernel this long, zeros of the dilation included, fits the nine taps of a 3×3 kernel.
_TAPS = 9


class UnfitError(ValueError):
    """A layer has no counterpart on the hardware; carries reason and hint."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def _same(values: tuple[int, ...]) -> bool:
    return len(set(values)) <= 1


def conv_operator(node: Node, in_channels: int, weight_shape: Shape, part: Part) -> Operator:
    """Return the operator of a convolution node.

    Raises:
        UnfitError: Kernel, padding, dilation, stride or groups are not available.
    """
    kernel = tuple(weight_shape[2:])
    axes = len(kernel)
    if axes not in (1, 2):
        raise UnfitError(f"{axes}-D convolutions do not exist", "use 1-D or 2-D convolutions")
    if axes == 2 and (not _same(kernel) or kernel[0] not in CONV2D_KERNELS):
        raise UnfitError(
            f"kernel {_times(kernel)} does not exist",
            "use 3×3 or 1×1; two 3×3 layers see as far as one 5×5, a 2×2 fits into a 3×3",
        )
    if axes == 1 and kernel[0] not in CONV1D_KERNELS:
        raise UnfitError(f"1-D kernel {kernel[0]} does not exist", "use 1 to 9 taps")
    _check_pads(node, kernel)
    _check_dilation(node, kernel)
    strides = spatial(node.attributes, "strides", axes, 1)
    if not _same(strides) or strides[0] > MAX_POOL_STRIDE:
        raise UnfitError(
            f"stride {_times(strides)} cannot be made by subsampling",
            f"use one stride for both axes, at most {MAX_POOL_STRIDE}",
        )
    groups = int(node.attributes.get("groups", 1))
    if groups != 1:
        _check_groups(groups, in_channels, weight_shape[0], part)
    return Operator.CONV1D if axes == 1 else Operator.CONV2D


def _check_groups(groups: int, in_channels: int, out_channels: int, part: Part) -> None:
    is_depthwise = groups == in_channels == out_channels
    if not is_depthwise:
        raise UnfitError(
            f"{groups} groups for {in_channels} to {out_channels} channels do not exist",
            "use one group, or on the MAX78002 as many groups as channels",
        )
    if not part.has_depthwise:
        raise UnfitError(
            f"the {part.title} has no depthwise convolution",
            'use one group, or part = "max78002"',
        )


def _check_pads(node: Node, kernel: tuple[int, ...]) -> None:
    pads = spatial(node.attributes, "pads", 2 * len(kernel), 0)
    if not _same(pads):
        raise UnfitError(
            f"padding {pads} differs between sides", "pad all sides alike, by 0, 1 or 2"
        )
    if pads[0] > MAX_PAD or pads[0] >= kernel[0]:
        raise UnfitError(
            f"padding {pads[0]} does not fit kernel {_times(kernel)}",
            f"pad by at most {min(MAX_PAD, kernel[0] - 1)}",
        )


def _check_dilation(node: Node, kernel: tuple[int, ...]) -> None:
    dilations = spatial(node.attributes, "dilations", len(kernel), 1)
    if max(dilations) == 1 or max(kernel) == 1:
        return
    if len(kernel) == 2:
        raise UnfitError("2-D convolutions cannot be dilated", "use dilation 1")
    pads = spatial(node.attributes, "pads", 2, 0)
    if (kernel[0] - 1) * dilations[0] >= _TAPS and (kernel[0] > 3 or pads[0] > 0):
        raise UnfitError(
            f"1-D kernel {kernel[0]} with dilation {dilations[0]} and padding {pads[0]} does not "
            "exist",
            "dilate so that (taps − 1) · dilation stays below 9, or use at most 3 taps unpadded",
        )


def pool_of(node: Node, shape: Shape) -> Pool:
    """Return the pooling of a pool node on data of `shape`.

    Raises:
        UnfitError: The window, its stride or its padding is not available.
    """
    average = node.op in (Op.AVG_POOL, Op.GLOBAL_AVG_POOL)
    kind = PoolKind.AVG if average else PoolKind.MAX
    axes = len(shape) - 1
    ones = (1,) * axes
    if node.op in (Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL):
        window = tuple(shape[1:])
        if max(window) > MAX_POOL_WINDOW:
            raise UnfitError(
                f"global pooling over {_times(window)} exceeds the largest window "
                f"{MAX_POOL_WINDOW}",
                "pool in two steps",
            )
        # One position comes out whatever the stride; equal strides are what the hardware has.
        return Pool(kind, window, (max(window),) * axes, ones)
    window = tuple(node.attributes["kernel"])
    strides = spatial(node.attributes, "strides", axes, 1)
    if max(spatial(node.attributes, "pads", 2 * axes, 0)) > 0:
        raise UnfitError("pooling cannot pad", "pool without padding")
    if node.attributes.get("ceil_mode") and any(
        (size - k) % s for size, k, s in zip(shape[1:], window, strides, strict=True)
    ):
        raise UnfitError("pooling drops incomplete windows", "set ceil_mode = False")
    if max(spatial(node.attributes, "dilations", axes, 1)) > 1:
        raise UnfitError("pooling windows cannot be dilated", "use dilation 1")
    if not _same(strides):
        raise UnfitError(
            f"pooling stride {_times(strides)} differs between axes", "use equal strides"
        )
    if max(window) > MAX_POOL_WINDOW or strides[0] > MAX_POOL_STRIDE:
        raise UnfitError(
            f"pooling window {_times(window)}, stride {strides[0]}: both may be at most "
            f"{MAX_POOL_WINDOW}",
            "pool in two steps",
        )
    return Pool(kind, window, strides, ones)


def pooled_shape(pool: Pool, shape: Shape) -> Shape:
    """Return the shape after pooling without padding."""
    sizes = zip(shape[1:], pool.window, pool.stride, strict=True)
    return (shape[0], *((size - window) // stride + 1 for size, window, stride in sizes))


def _times(sizes: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in sizes)
