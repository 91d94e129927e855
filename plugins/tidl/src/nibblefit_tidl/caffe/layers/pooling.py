"""Pooling, with Caffe's own rounding of the output size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nibblefit.fixed.geometry import window
from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.schema import Message, enum_name
from nibblefit_tidl.caffe.site import Handler, Site

_METHODS = {"MAX": (Op.MAX_POOL, Op.GLOBAL_MAX_POOL), "AVE": (Op.AVG_POOL, Op.GLOBAL_AVG_POOL)}


def _pair(settings: Message, plain: str, stem: str) -> tuple[int, int]:
    high, wide = f"{stem}_h", f"{stem}_w"
    if settings.HasField(high) or settings.HasField(wide):
        if settings.HasField(plain):
            raise Refused(f"it has both {plain} and {high}/{wide}", "keep one spelling")
        return int(getattr(settings, high)), int(getattr(settings, wide))
    return int(getattr(settings, plain)), int(getattr(settings, plain))


def _pooling(site: Site) -> Sequence[str]:
    site.expect_inputs(1)
    settings = site.layer.pooling_param
    if len(site.layer.top) > 1:
        raise Refused("it also returns the places of its maxima", "use one top")
    method = enum_name(settings, "pool")
    if method not in _METHODS:
        raise Refused("stochastic pooling draws random numbers", "use MAX or AVE")
    if settings.torch_pooling:
        raise Refused("its torch_pooling changes the sizes", "leave torch_pooling out")
    sizes = site.spatial()
    local, whole = _METHODS[method]
    if settings.global_pooling:
        return (site.add(whole),)
    kernel, pads = _pair(settings, "kernel_size", "kernel"), _pair(settings, "pad", "pad")
    strides = _pair(settings, "stride", "stride")
    if min(*kernel, *strides) < 1 or any(p >= k for p, k in zip(pads, kernel)):
        raise Refused(
            f"kernel {kernel}, stride {strides} and pad {pads} do not fit",
            "give a kernel and stride of 1 or more, and less padding than kernel",
        )
    rounded_up = enum_name(settings, "round_mode") == "CEIL"
    ceil_mode = rounded_up and _rounding_matters(sizes, kernel, strides, (*pads, *pads))
    attributes: dict[str, Any] = {"kernel": kernel, "strides": strides, "pads": (*pads, *pads),
                  "ceil_mode": ceil_mode}  # fmt: skip
    if local is Op.AVG_POOL:
        # Caffe divides by the window's size clipped to the padded map: declared padding counts.
        return (site.add(local, count_include_pad=True, **attributes),)
    return (site.add(local, **attributes),)


def _rounding_matters(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int]
) -> bool:
    """Return whether rounding up gives another output size than rounding down.

    Caffe rounds ``(size + 2·pad − kernel) / stride`` up and, with padding, drops a last window that
    starts beyond the map and its first padding. Without padding it keeps even that window, which
    then covers nothing; such a layer is refused.
    """
    up, down = (
        window(kernel, strides, pads, ceil_mode=m).output_sizes(sizes) for m in (True, False)
    )
    for size, span, stride, pad, count in zip(sizes, kernel, strides, pads, up, strict=False):
        caffe = -(-(size + 2 * pad - span) // stride) + 1
        if not any(pads) and caffe != count:
            raise Refused("its last window would lie outside the map", "use a smaller stride")
    return up != down


HANDLERS: Mapping[str, Handler] = {"Pooling": _pooling}
