"""Interpolation."""

# Handlers have the argument names and the argument order of torch.
# ruff: noqa: A002, PLR0917

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.problems import Refused

#: torch's modes as (operator, coordinates, nearest mode); align_corners changes the second.
_MODES: Mapping[str, tuple[Op, str, str]] = {
    "nearest": (Op.RESIZE_NEAREST, "asymmetric", "floor"),
    "nearest-exact": (Op.RESIZE_NEAREST, "half_pixel", "round_prefer_ceil"),
    "linear": (Op.RESIZE_BILINEAR, "half_pixel", ""),
    "bilinear": (Op.RESIZE_BILINEAR, "half_pixel", ""),
    "trilinear": (Op.RESIZE_BILINEAR, "half_pixel", ""),
}


def _interpolate(
    call: Call, input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> str:  # fmt: skip
    if mode not in _MODES or antialias:
        kind = f"mode '{mode}'" + (" with antialias" if antialias else "")
        raise Refused(f"{kind} has no operator", "use 'nearest' or 'bilinear'")
    before, after = tuple(input.shape[2:]), tuple(call.result.shape[2:])
    if size is None and not recompute_scale_factor:
        factors = _factors(scale_factor, len(before))
        if any(f * b != a for f, b, a in zip(factors, before, after)):
            raise Refused(
                f"the factor {scale_factor} does not bring {before} to whole sizes",
                "give the size instead, or recompute_scale_factor=True",
            )
    x = call.activation(input)
    if before == after:
        return x
    op, coordinates, nearest_mode = _MODES[mode]
    if align_corners:
        coordinates = "align_corners"
    extra = {"nearest_mode": nearest_mode} if op is Op.RESIZE_NEAREST else {}
    return call.add(op, [x], sizes=after, coordinates=coordinates, **extra)


def _factors(scale_factor: Any, axes: int) -> tuple[float, ...]:
    if isinstance(scale_factor, int | float):
        return (float(scale_factor),) * axes
    return tuple(float(f) for f in scale_factor)


HANDLERS: Mapping[str, Handler] = {"interpolate": _interpolate}
