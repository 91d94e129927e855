"""Pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.ir.attributes import window_of
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.handlers.geometry import pads, per_axis
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _window(site: Site) -> dict[str, Any]:
    kernel = tuple(int(k) for k in site.attribute("kernel_shape", ()))
    if len(kernel) + 1 != len(site.shape()):
        raise Refused(f"kernel {kernel} does not fit input {site.shape()}")
    strides = per_axis(site, "strides", len(kernel), 1)
    dilations = per_axis(site, "dilations", len(kernel), 1)
    found = {"kernel": kernel, "strides": strides, "dilations": dilations,
             "pads": pads(site, kernel, strides, dilations)}  # fmt: skip
    sizes = site.shape()[1:]
    partial = window_of({**found, "ceil_mode": True}, kernel).output_sizes(sizes)
    is_partial = partial != window_of(found, kernel).output_sizes(sizes)
    return {**found, "ceil_mode": bool(site.attribute("ceil_mode", 0)) and is_partial}


def _max_pool(site: Site) -> str:
    if site.attribute("storage_order", 0):
        raise Refused("it counts indices by columns", "leave storage_order at 0")
    return site.add(Op.MAX_POOL, [site.activation()], **_window(site))


def _avg_pool(site: Site) -> str:
    window = _window(site)
    counted = bool(site.attribute("count_include_pad", 0)) and any(window["pads"])
    return site.add(Op.AVG_POOL, [site.activation()], **window, count_include_pad=counted)


def _global(op: Op) -> Handler:
    return lambda site: site.add(op, [site.activation()])


HANDLERS: Mapping[str, Handler] = {
    "MaxPool": _max_pool,
    "AveragePool": _avg_pool,
    "GlobalAveragePool": _global(Op.GLOBAL_AVG_POOL),
    "GlobalMaxPool": _global(Op.GLOBAL_MAX_POOL),
}
