"""Which convolutions the hardware has, and how others fit into one with zeros around their taps.

A kernel of k taps at distance d, with b zeros before and e behind the data, equals a hardware
kernel of K taps with P zeros on both sides if its first tap lies at P − b. The result is then
longer than wanted by P + k' + (P − b) − K − e positions (k' = d·(k − 1) + 1) at the end, which
nobody may read. Axes are independent, but share K and P.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nibblefit.ir.attributes import spatial
from nibblefit.ir.graph import Node, Shape
from nibblefit_maxim.layers import Operator
from nibblefit_maxim.parts import (
    CONV1D_KERNELS,
    CONV2D_KERNELS,
    MAX_PAD,
    MAX_POOL_STRIDE,
    Part,
)

#: A 1-D kernel this long, zeros of the dilation included, fits the nine taps of a 3×3 kernel.
_TAPS = 9
#: Taps of a 1-D kernel whose dilation exceeds that; it then runs on the 2-D hardware.
_MAX_WIDE_TAPS = 3
#: Taps of the transposed convolution, and how many positions its result has per input position.
_TRANSPOSED_KERNEL = 3
_TRANSPOSED_STRIDE = 2


class UnfitError(ValueError):
    """A layer has no counterpart on the hardware; carries reason and hint."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class KernelFit:
    """How a convolution runs.

    Attributes:
        kernel, pad, dilation: The hardware's, per axis.
        begin, step: First tap and distance of taps within the hardware's kernel, per axis.
        surplus: Positions of the result that belong to no float tensor, per axis, at the end.
    """

    kernel: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]
    begin: tuple[int, ...]
    step: tuple[int, ...]
    surplus: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Axis:
    """What one axis of a float convolution asks for."""

    taps: int
    distance: int
    before: int
    behind: int
    surplus: int

    @property
    def span(self) -> int:
        return self.distance * (self.taps - 1) + 1

    def excess(self, kernel: int, pad: int) -> int | None:
        """Return the surplus of the result in a hardware kernel, None if it does not fit."""
        begin = pad - self.before
        extra = pad + begin + self.span - kernel - self.behind
        fits = 0 <= begin <= kernel - self.span and extra >= 0
        # Zeros behind the data would have to lie where the surplus is.
        return self.surplus + extra if fits and not (self.surplus and self.behind) else None


def same(values: Sequence[int]) -> bool:
    """Return whether all values are equal."""
    return len(set(values)) <= 1


def times(sizes: Sequence[int]) -> str:
    """Return sizes as text such as ``3×3``."""
    return "×".join(str(size) for size in sizes)


def conv_operator(node: Node, in_channels: int, weight_shape: Shape, part: Part) -> Operator:
    """Return the operator of a convolution node.

    Raises:
        UnfitError: Axes, strides or groups are not available.
    """
    axes = len(weight_shape) - 2
    if axes not in (1, 2):
        raise UnfitError(f"{axes}-D convolutions do not exist", "use 1-D or 2-D convolutions")
    strides = spatial(node.attributes, "strides", axes, 1)
    if not same(strides) or strides[0] > MAX_POOL_STRIDE:
        raise UnfitError(
            f"stride {times(strides)} cannot be made by subsampling",
            f"use one stride for both axes, at most {MAX_POOL_STRIDE}",
        )
    check_groups(node, in_channels, weight_shape[0], part)
    return Operator.CONV1D if axes == 1 else Operator.CONV2D


def check_groups(node: Node, in_channels: int, out_channels: int, part: Part) -> int:
    """Return the groups of a convolution.

    Raises:
        UnfitError: They are neither one nor, on a part that can, as many as channels.
    """
    groups = int(node.attributes.get("groups", 1))
    if groups == 1:
        return groups
    if not groups == in_channels == out_channels:
        raise UnfitError(
            f"{groups} groups for {in_channels} to {out_channels} channels do not exist",
            "use one group, or on the MAX78002 as many groups as channels",
        )
    if not part.has_depthwise:
        raise UnfitError(
            f"the {part.title} has no depthwise convolution",
            'use one group, or part = "max78002"',
        )
    return groups


def fit_kernel(
    node: Node, kernel: tuple[int, ...], surplus: Sequence[int]
) -> KernelFit:  # fmt: skip
    """Return how a convolution of stride 1 runs on the hardware.

    Args:
        node: The float convolution.
        kernel: Its taps per axis.
        surplus: Positions of its input that belong to no float tensor, per axis.

    Raises:
        UnfitError: No kernel of the hardware holds it.
    """
    axes = _axes(node, kernel, surplus)
    found = _native_dilation(axes[0]) if len(axes) == 1 else None
    found = found or _smallest(axes, CONV1D_KERNELS if len(axes) == 1 else CONV2D_KERNELS)
    if found is None:
        pads = spatial(node.attributes, "pads", 2 * len(axes), 0)
        raise _misfit(kernel, pads, spatial(node.attributes, "dilations", len(axes), 1), axes)
    return found


def fit_long_kernel(
    node: Node, kernel: tuple[int, ...], surplus: Sequence[int]
) -> KernelFit | None:  # fmt: skip
    """Return how a convolution fits a kernel that two layers in a row make, None if it does not.

    Two kernels of k taps in a row see 2k − 1 positions; the padding is the first one's.
    """
    longest = max(CONV1D_KERNELS if len(kernel) == 1 else CONV2D_KERNELS)
    return _smallest(_axes(node, kernel, surplus), range(longest + 2, 2 * longest, 2))


def _axes(node: Node, kernel: tuple[int, ...], surplus: Sequence[int]) -> list[_Axis]:
    count = len(kernel)
    pads = spatial(node.attributes, "pads", 2 * count, 0)
    dilations = spatial(node.attributes, "dilations", count, 1)
    sides = zip(kernel, dilations, pads[:count], pads[count:], surplus, strict=True)
    return [_Axis(k, d if k > 1 else 1, b, e, s) for k, d, b, e, s in sides]


def _native_dilation(axis: _Axis) -> KernelFit | None:
    """Return the fit of a dilated 1-D kernel whose zeros the compiler makes itself."""
    if axis.distance == 1 or axis.before != axis.behind or (axis.surplus and axis.behind):
        return None
    short = axis.span - 1 < _TAPS and axis.before <= MAX_PAD and axis.before < axis.taps
    wide = axis.taps <= _MAX_WIDE_TAPS and axis.before == 0
    if not short and not wide:
        return None
    return KernelFit((axis.taps,), (axis.before,), (axis.distance,), (0,), (1,), (axis.surplus,))


def _smallest(axes: Sequence[_Axis], kernels: Iterable[int]) -> KernelFit | None:
    """Return the fit with least surplus, then fewest taps."""
    best: tuple[tuple[int, int, int], KernelFit] | None = None
    for kernel in kernels:
        for pad in range(min(MAX_PAD, kernel - 1) + 1):
            excess = [axis.excess(kernel, pad) for axis in axes]
            if None in excess:
                continue
            surplus = tuple(int(value or 0) for value in excess)
            rank = (sum(surplus), kernel, pad)
            if best is None or rank < best[0]:
                best = rank, _fit(axes, kernel, pad, surplus)
    return best[1] if best else None


def _fit(axes: Sequence[_Axis], kernel: int, pad: int, surplus: tuple[int, ...]) -> KernelFit:
    ones = (1,) * len(axes)
    return KernelFit(
        kernel=(kernel,) * len(axes),
        pad=(pad,) * len(axes),
        dilation=ones,
        begin=tuple(pad - axis.before for axis in axes),
        step=tuple(axis.distance for axis in axes),
        surplus=surplus,
    )


def _misfit(
    kernel: tuple[int, ...],
    pads: Sequence[int],
    dilations: Sequence[int],
    axes: Sequence[_Axis],
) -> UnfitError:
    """Return why nothing fits, as precisely as the sizes tell."""
    longest, two = max(axis.span for axis in axes), len(axes) == 2
    limit = 2 * max(CONV2D_KERNELS if two else CONV1D_KERNELS) - 1  # two layers in a row
    if any(axis.surplus for axis in axes):
        return UnfitError(
            f"it pads data that is longer on the hardware by {[a.surplus for a in axes]} positions",
            "pad the convolution before it, so that its output keeps its input's size",
        )
    if longest > limit and max(dilations) > 1:
        return UnfitError(
            f"kernel {times(kernel)} with dilation {times(dilations)} does not exist",
            "2-D kernels cannot be dilated beyond 5×5" if two else
            "dilate so that (taps − 1) · dilation stays below 17, or use at most 3 taps unpadded",
        )  # fmt: skip
    if longest > limit:
        return UnfitError(
            f"kernel {times(kernel)} does not exist",
            "use at most 5×5, padded by at most 2"
            if two
            else "use at most 17 taps, padded by at most 2",
        )
    if not same(pads):
        return UnfitError(
            f"padding {tuple(pads)} of kernel {times(kernel)} differs between sides",
            "pad all sides alike, by 0, 1 or 2",
        )
    return UnfitError(
        f"padding {pads[0]} does not fit kernel {times(kernel)}",
        f"pad by at most {min(MAX_PAD, max(limit - longest + 1, kernel[0] - 1))}",
    )


def fit_transposed(node: Node, kernel: tuple[int, ...]) -> KernelFit:
    """Return how a transposed convolution runs as 3×3, stride 2, output padding 1.

    With o = P − p as the first tap, the result is longer than wanted by 4 − 2·o − k − q, p and q
    being the padding and output padding asked for.

    Raises:
        UnfitError: It does not.
    """
    hint = "use kernel 3 with stride 2, padding 1 and output padding 1, or kernel 2 with stride 2"
    if len(kernel) != 2:
        raise UnfitError(f"{len(kernel)}-D transposed convolutions do not exist", hint)
    strides = spatial(node.attributes, "strides", 2, 1)
    pads = spatial(node.attributes, "pads", 4, 0)
    outside = spatial(node.attributes, "output_padding", 2, 0)
    dilations = spatial(node.attributes, "dilations", 2, 1)
    if set(strides) != {_TRANSPOSED_STRIDE} or max(dilations) > 1 or pads[:2] != pads[2:]:
        raise UnfitError(
            f"a transposed convolution with stride {times(strides)}, dilation {times(dilations)} "
            f"and padding {tuple(pads)} does not exist", hint
        )  # fmt: skip
    best: KernelFit | None = None
    for pad in range(MAX_PAD + 1):
        begin = tuple(pad - p for p in pads[:2])
        surplus = tuple(4 - 2 * o - k - q for o, k, q in zip(begin, kernel, outside, strict=True))
        room = [0 <= o <= _TRANSPOSED_KERNEL - k for o, k in zip(begin, kernel, strict=True)]
        better = best is None or sum(surplus) < sum(best.surplus)
        if all(room) and min(surplus) >= 0 and better:
            size = (_TRANSPOSED_KERNEL,) * 2
            best = KernelFit(size, (pad,) * 2, (1, 1), begin, (1, 1), surplus)
    if best is not None:
        return best
    raise UnfitError(
        f"a transposed convolution {times(kernel)} with padding {times(pads[:2])} and output "
        f"padding {times(outside)} does not exist",
        hint,
    )
