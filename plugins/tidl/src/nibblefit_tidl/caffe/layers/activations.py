"""Layers that change each value on its own, and the decisions at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.schema import Message, new
from nibblefit_tidl.caffe.site import Handler, Site, axis_of


def _number(value: float) -> float:
    """Return the number a person wrote: messages keep float32, seven digits of it are meant."""
    return float(f"{value:.7g}")


def _relu(site: Site) -> Sequence[str]:
    slope = _number(site.layer.relu_param.negative_slope)
    if slope:
        return (site.add(Op.LEAKY_RELU, slope=slope),)
    return (site.add(Op.RELU),)


def _relu6(site: Site) -> Sequence[str]:
    return (site.add(Op.CLIP, lo=0.0, hi=6.0),)


def _clip(site: Site) -> Sequence[str]:
    settings = site.layer.clip_param
    if not (settings.HasField("min") and settings.HasField("max")):
        raise Refused("it lacks min or max", "give both in clip_param")
    low, high = _number(settings.min), _number(settings.max)
    if not low < high:
        raise Refused(f"it clips to [{low:g}, {high:g}]", "give a min below max")
    return (site.add(Op.CLIP, lo=low, hi=high),)


def _prelu(site: Site) -> Sequence[str]:
    settings = site.layer.prelu_param
    count = 1 if settings.channel_shared else site.shape[0]
    slope = site.parameter(0, "weight", (count,), _slope_filler(settings))
    return (site.add(Op.PRELU, [site.x, slope]),)


def _slope_filler(settings: Message) -> Message:
    if settings.HasField("filler"):
        return settings.filler
    filler = new("FillerParameter")
    filler.value = 0.25  # what Caffe's PReLU starts from
    return filler


def _power(site: Site) -> Sequence[str]:
    settings = site.layer.power_param
    if settings.power != 1:
        raise Refused(f"it raises to the power {settings.power:g}", "only power 1 is represented")
    channels = site.shape[0]
    scale = site.constant("scale", np.full(channels, _number(settings.scale)))
    shift = site.constant("shift", np.full(channels, _number(settings.shift)))
    return (site.add(Op.SCALE_OFFSET, [site.x, scale, shift]),)


def _swish(site: Site) -> Sequence[str]:
    if site.layer.swish_param.beta != 1:
        raise Refused("its beta is not 1", "use beta 1")
    gate = site.add(Op.SIGMOID, suffix=".sigmoid")
    return (site.add(Op.MUL, [site.x, gate]),)


def _softmax(site: Site) -> Sequence[str]:
    axis = axis_of(site, site.layer.softmax_param.axis)
    return (site.add(Op.SOFTMAX, axis=axis),)


def _argmax(site: Site) -> Sequence[str]:
    settings = site.layer.argmax_param
    if settings.top_k != 1 or settings.out_max_val:
        raise Refused("it returns more than the first maximum's index", "use top_k 1")
    if settings.HasField("axis"):
        return (site.add(Op.ARGMAX, axis=axis_of(site, settings.axis), keepdims=True),)
    # Without an axis Caffe looks at the whole sample and returns the shape (1, 1).
    flat = site.x
    if len(site.shape) > 1:
        flat = site.add(Op.FLATTEN, suffix=".flatten", start_axis=1)
    index = site.add(Op.ARGMAX, [flat], suffix=".index", axis=1, keepdims=True)
    return (site.add(Op.RESHAPE, [index], shape=(1, 1)),)


def _dropout(site: Site) -> Sequence[str]:
    ratio = _number(site.layer.dropout_param.dropout_ratio)
    if not (math.isfinite(ratio) and 0 <= ratio < 1):
        raise Refused(f"its ratio is {ratio:g}", "give a dropout_ratio from 0 to below 1")
    return (site.add(Op.DROPOUT, p=ratio),)


def _plain(op: Op) -> Handler:
    return lambda site: (site.add(op),)


HANDLERS: Mapping[str, Handler] = {
    "ReLU": _relu, "ReLU6": _relu6, "Clip": _clip, "PReLU": _prelu, "AbsVal": _plain(Op.ABS),
    "Sigmoid": _plain(Op.SIGMOID), "TanH": _plain(Op.TANH), "Power": _power, "Swish": _swish,
    "Softmax": _softmax, "ArgMax": _argmax, "Dropout": _dropout,
}  # fmt: skip
