"""Convolution, Deconvolution and InnerProduct."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.schema import Message
from nibblefit_tidl.caffe.site import Handler, Site, axis_of


def _pair(settings: Message, repeated: str, stem: str, default: int | None) -> tuple[int, int]:
    """Return (vertical, horizontal) of a window setting in either of Caffe's two spellings."""
    values = tuple(getattr(settings, repeated))
    high, wide = f"{stem}_h", f"{stem}_w"
    if settings.HasField(high) or settings.HasField(wide):
        if values:
            raise Refused(f"it has both {repeated} and {high}/{wide}", "keep one spelling")
        return int(getattr(settings, high)), int(getattr(settings, wide))
    if not values and default is None:
        raise Refused(f"it has no {repeated}", f"give {repeated}, or {high} and {wide}")
    if len(values) > 2:
        raise Refused(f"it has {len(values)} values of {repeated}", "use two spatial axes")
    found = values or (default or 0,)
    return (int(found[0]), int(found[-1]))


def _geometry(site: Site) -> tuple[tuple[int, int], dict[str, Any]]:
    """Return the kernel and the attributes of a convolution, checked."""
    settings = site.layer.convolution_param
    if settings.axis != 1:
        raise Refused(f"its channel axis is {settings.axis}", "put the channels on axis 1")
    site.spatial()
    kernel = _pair(settings, "kernel_size", "kernel", None)
    strides = _pair(settings, "stride", "stride", 1)
    dilation = tuple(settings.dilation) or (1,)
    if len(dilation) > 2:
        raise Refused(f"it has {len(dilation)} values of dilation", "use two spatial axes")
    dilations = (int(dilation[0]), int(dilation[-1]))
    if min(*kernel, *strides, *dilations, settings.group) < 1:
        raise Refused("a kernel, stride, dilation or group is 0", "give 1 or more")
    pads = _pair(settings, "pad", "pad", 0)
    found = {"strides": strides, "pads": (*pads, *pads), "dilations": dilations,
             "groups": int(settings.group)}  # fmt: skip
    return kernel, found


def _divided(site: Site, inputs: int, outputs: int) -> int:
    groups = int(site.layer.convolution_param.group)
    if outputs < 1 or inputs % groups or outputs % groups:
        raise Refused(
            f"{inputs} input and {outputs} output channels do not divide into {groups} groups",
            "correct num_output or group",
        )
    return groups


def _convolution(site: Site) -> Sequence[str]:
    site.expect_inputs(1)
    settings = site.layer.convolution_param
    kernel, attributes = _geometry(site)
    groups = _divided(site, site.shape[0], settings.num_output)
    shape = (settings.num_output, site.shape[0] // groups, *kernel)
    return (_weighted(site, Op.CONV, shape, settings, attributes),)


def _deconvolution(site: Site) -> Sequence[str]:
    site.expect_inputs(1)
    settings = site.layer.convolution_param
    kernel, attributes = _geometry(site)
    groups = _divided(site, site.shape[0], settings.num_output)
    shape = (site.shape[0], settings.num_output // groups, *kernel)
    return (_weighted(site, Op.CONV_TRANSPOSE, shape, settings, attributes),)


def _weighted(site: Site, op: Op, shape: tuple[int, ...], settings: Message,
              attributes: Mapping[str, Any]) -> str:  # fmt: skip
    weights = site.parameter(0, "weight", shape, settings.weight_filler)
    inputs = [site.x, weights]
    if settings.bias_term:
        inputs.append(site.parameter(1, "bias", (settings.num_output,), settings.bias_filler))
    return site.add(op, inputs, **attributes)


def _inner_product(site: Site) -> Sequence[str]:
    site.expect_inputs(1)
    settings = site.layer.inner_product_param
    axis = axis_of(site, settings.axis)
    x = site.x
    if axis < len(site.shape):
        x = site.add(Op.FLATTEN, suffix=".flatten", start_axis=axis)
    width, outputs = math.prod(site.shape[axis - 1 :]), int(settings.num_output)
    if outputs < 1:
        raise Refused("num_output is 0", "give 1 or more")
    if settings.transpose:
        weights = _transposed(site, (width, outputs))
    else:
        weights = site.parameter(0, "weight", (outputs, width), settings.weight_filler)
    inputs = [x, weights]
    if settings.bias_term:
        inputs.append(site.parameter(1, "bias", (outputs,), settings.bias_filler))
    return (site.add(Op.LINEAR, inputs),)


def _transposed(site: Site, shape: tuple[int, int]) -> str:
    """Add weights that the file keeps as (inputs, outputs)."""
    if site.layer.param and site.layer.param[0].name:
        raise Refused("its transposed weights are shared", "store the weights untransposed")
    name = site.parameter(0, "weight", shape, site.layer.inner_product_param.weight_filler)
    values = site.builder.constants.pop(name).T.copy()
    return site.builder.add_constant(name, values, reserved=True)


HANDLERS: Mapping[str, Handler] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
}
