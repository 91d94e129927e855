"""oneDNN's int8 convolution through torch, and the test that it is exact on this processor.

The operator multiplies uint8 activations by int8 weights into an int32 sum, then computes, in
float32, ``saturate(rint(clip(sum · scale + bias)))``. Two things are worth a proof before trusting
it: that the sum is exact (without VNNI instructions a pair of products may saturate at 16 bits),
and that the float32 tail rounds to nearest even and saturates. `trusted` runs both once per
process, over every sum of a ramp and over the most extreme operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

#: Largest code of an activation.
CODES = 255
#: Weights the operator accepts.
WEIGHT_LO, WEIGHT_HI = -128, 127
#: From the shape of the activations to the function of such activations, weights laid out for it.
Shaped = Callable[[Sequence[int]], Callable[[Tensor], Tensor]]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Strides, symmetric pads and dilations of two spatial axes, and groups."""

    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Tail:
    """What happens to the int32 sums.

    Attributes:
        scale: float32, per output channel.
        bias: float32, per output channel, added after scaling.
        dtype: uint8 or int8, which saturate, or float32.
        clip: Bounds applied before rounding; None for the bounds of `dtype` alone.
    """

    scale: Tensor
    bias: Tensor | None
    dtype: torch.dtype
    clip: tuple[int, int] | None = None


def prepare(weights: Tensor, zero: int, geometry: Geometry, tail: Tail) -> Shaped:
    """Return the convolution for fixed weights.

    Args:
        geometry: Of the two spatial axes.
        tail: What follows the sums.
        weights: int8, (out, in/groups, height, width).
        zero: Code of zero among the uint8 activations; also what padding counts as.

    Returns:
        From the shape of uint8 codes (batch, channels, height, width) to the function of such
        codes whose result is `tail.dtype`, channels-last.
    """
    operators = torch.ops.onednn
    zeros = torch.zeros(len(weights), dtype=torch.int32)
    strides, pads, dilations = (
        list(geometry.strides), list(geometry.pads), list(geometry.dilations)
    )  # fmt: skip

    activation, bounds = _activation(tail)
    convolution, scale, bias, dtype = (
        operators.qconv2d_pointwise.default, tail.scale, tail.bias, tail.dtype
    )  # fmt: skip
    groups = geometry.groups

    def shaped(shape: Sequence[int]) -> Callable[[Tensor], Tensor]:
        # oneDNN's preferred weight layout depends on the shape; another one costs a reordering of
        # all weights in every call.
        packed = operators.qconv_prepack(
            weights, scale, 1.0, zero, strides, pads, dilations, groups, list(shape)
        )

        def run(codes: Tensor) -> Tensor:
            dense = codes.contiguous(memory_format=torch.channels_last)
            result: Tensor = convolution(
                dense, 1.0, zero, packed, scale, zeros, bias, strides, pads, dilations, groups,
                1.0, 0, dtype, activation, bounds, "",
            )  # fmt: skip
            return result

        return run

    return shaped


def _activation(tail: Tail) -> tuple[str, Sequence[int]]:
    if tail.clip is None:
        return "none", []
    if tail.clip == (0, 127) and tail.dtype is torch.int8:
        return "relu", []  # saturation does the upper bound, and relu is the cheaper of the two
    return "hardtanh", list(tail.clip)


@lru_cache(maxsize=1)
def trusted() -> str:
    """Return an empty string if the int8 path is exact here, else why it is not used."""
    has_library = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_library or not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return "this build of torch has no oneDNN int8 convolution"
    try:
        with torch.inference_mode():
            exact = all(_sums_are_exact(*case) for case in _CASES) and all(
                _tail_is_exact(shift, dtype)
                for shift in (0, 1, 2, 5, 8, 12)
                for dtype in (torch.uint8, torch.int8)
            )
    except (RuntimeError, TypeError) as error:
        return f"oneDNN refuses int8 convolutions here ({str(error).splitlines()[0]})"
    return "" if exact else "this processor's int8 convolution is not exact (no VNNI?)"


#: (in channels, out channels, kernel, size, geometry): one per family of oneDNN kernels.
_CASES: tuple[tuple[int, int, int, int, Geometry], ...] = (
    (3, 16, 3, 9, Geometry(pads=(1, 1))),
    (3, 8, 7, 14, Geometry(strides=(2, 2), pads=(3, 3))),
    (16, 16, 3, 8, Geometry(pads=(1, 1))),
    (64, 64, 3, 7, Geometry(pads=(1, 1))),
    (64, 33, 1, 5, Geometry()),
    (70, 32, 1, 6, Geometry(strides=(2, 2))),
    (32, 32, 3, 8, Geometry(pads=(1, 1), groups=32)),
    (12, 8, 3, 9, Geometry(dilations=(2, 2), groups=4)),
    (512, 10, 1, 1, Geometry()),
    # Sums beyond 2^24: the zero point must be taken off before they become float32.
    (256, 16, 3, 4, Geometry(pads=(1, 1))),
)


def _sums_are_exact(channels: int, out: int, kernel: int, size: int, geometry: Geometry) -> bool:
    """Compare extreme operands with float64: a saturating pair of products would show."""
    random = torch.Generator().manual_seed(channels)
    shape = (out, channels // geometry.groups, kernel, kernel)
    signs = torch.randint(0, 2, shape, generator=random)
    weights = torch.where(signs == 1, WEIGHT_HI, WEIGHT_LO).to(torch.int8)
    weights[0], weights[1] = WEIGHT_HI, WEIGHT_LO
    codes = torch.randint(0, 2, (3, channels, size, size), generator=random) * CODES
    codes[0], codes[1] = CODES, 0
    codes = codes.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    tail = Tail(torch.ones(out), None, torch.float32)
    for zero in (0, 128):
        found = prepare(weights, zero, geometry, tail)(codes.shape)(codes)
        expected = torch.nn.functional.conv2d(
            codes.double() - zero, weights.double(), None, geometry.strides, geometry.pads,
            geometry.dilations, geometry.groups,
        )  # fmt: skip
        if not torch.equal(found.double(), expected.float().double()):
            return False
    return True


def _tail_is_exact(shift: int, dtype: torch.dtype) -> bool:
    """Compare rounding and saturation with integers for all sums from −8192 to 8191.

    Three input channels with weights 1, 64 and −64 make every sum; two copies of the outputs, one
    with the half-step offset of `nibblefit.engine.requantization`, make both roundings.
    """
    sums = torch.arange(-8192, 8192)
    low, high = sums % 64, sums // 64
    codes = torch.stack((low, high.clamp(min=0), (-high).clamp(min=0)))
    codes = codes.to(torch.uint8).reshape(1, 3, 128, 128)
    weights = torch.tensor([1, 64, -64], dtype=torch.int8).repeat(16, 1).reshape(16, 3, 1, 1)
    offset = torch.tensor([0.0, 2.0 ** -(shift + 1) if shift else 0.0]).repeat(8)
    limits = torch.iinfo(dtype)
    for clip in (None, (0, 127), (max(limits.min, -3), 99)):
        tail = Tail(torch.full((16,), 2.0**-shift), offset, dtype, clip)
        run = prepare(weights, 0, Geometry(), tail)(codes.shape)
        found = run(codes.contiguous(memory_format=torch.channels_last)).reshape(16, -1)
        up = (sums + ((1 << shift) >> 1)) >> shift
        tie_to_odd = (sums % (1 << shift) == (1 << shift) >> 1) & (up & 1 == 1)
        even = up - tie_to_odd.long() if shift else up
        lo, hi = clip or (limits.min, limits.max)
        lo, hi = max(lo, limits.min), min(hi, limits.max)
        expected = torch.stack([even.clamp(lo, hi), up.clamp(lo, hi)]).repeat(8, 1)
        if not torch.equal(found.long(), expected):
            return False
    return True


def pad_codes(codes: Tensor, pads: Sequence[int], zero: int) -> Tensor:
    """Return the codes with `zero` around them; pads as torch's ``pad`` counts them."""
    padded: Any = torch.nn.functional.pad(codes, list(pads), value=zero)
    return padded  # type: ignore[no-any-return]
