"""Activation functions, Softmax and ArgMax."""

from __future__ import annotations

from collections.abc import Mapping
from math import isinf, prod

import numpy as np
import numpy.typing as npt

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _simple(op: Op) -> Handler:
    return lambda site: site.add(op, [site.activation()])


def _bound(site: Site, index: int, what: str) -> float | None:
    if site.has(index):
        value = float(site.array(index, what).reshape(-1)[0])
    elif site.attribute(what) is not None:
        value = float(site.attribute(what))
    else:
        return None
    # Exporters write the largest float32 for "no bound".
    return None if isinf(value) or abs(value) >= np.finfo(np.float32).max else value


def _clip(site: Site) -> str:
    lo, hi = _bound(site, 1, "min"), _bound(site, 2, "max")
    if lo == 0 and hi is None:
        return site.add(Op.RELU, [site.activation()])
    return site.add(Op.CLIP, [site.activation()], lo=lo, hi=hi)


def _leaky_relu(site: Site) -> str:
    slope = float(site.attribute("alpha", 0.01))
    return site.add(Op.LEAKY_RELU, [site.activation()], slope=slope)


def _prelu(site: Site) -> str:
    channels = site.shape()[0]

    def per_channel(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        shape = value.shape[1:] if value.ndim == len(site.shape()) + 1 else value.shape
        is_channelwise = value.size == channels and shape[:1] == (channels,)
        if value.size != 1 and not is_channelwise:
            raise Refused(f"its slope has shape {value.shape}; expected one or one per channel")
        return value.reshape(-1)

    slope = site.weight(1, "slope", form="channels", change=per_channel)
    return site.add(Op.PRELU, [site.activation(), slope])


def _hard_sigmoid(site: Site) -> str:
    alpha, beta = float(site.attribute("alpha", 0.2)), float(site.attribute("beta", 0.5))
    return site.add(Op.HARD_SIGMOID, [site.activation()], alpha=_sixth(alpha), beta=beta)


def _sixth(alpha: float) -> float:
    """Return exactly 1/6 for its float32 neighbour, which is all that a file can hold."""
    return 1 / 6 if np.float32(alpha) == np.float32(1 / 6) else alpha


def _softmax(site: Site) -> str:
    rank = len(site.shape()) + 1
    axis = int(site.attribute("axis", -1 if site.opset >= 13 else 1))
    index = site.axis(axis)
    if site.opset < 13 and prod(site.shape()[index:]) != 1:
        raise Refused(
            f"before opset 13 it normalises all axes from {index} to {rank - 1} together",
            "convert the file to opset 13 or newer",
        )
    return site.add(Op.SOFTMAX, [site.activation()], axis=index)


def _argmax(site: Site) -> str:
    if site.attribute("select_last_index", 0):
        raise Refused("it returns the last of equals", "leave select_last_index at 0")
    axis = site.axis(int(site.attribute("axis", 0)))
    keepdims = bool(site.attribute("keepdims", 1))
    return site.add(Op.ARGMAX, [site.activation()], axis=axis, keepdims=keepdims)


HANDLERS: Mapping[str, Handler] = {
    "Relu": _simple(Op.RELU),
    "Abs": _simple(Op.ABS),
    "Sigmoid": _simple(Op.SIGMOID),
    "Tanh": _simple(Op.TANH),
    "HardSwish": _simple(Op.HARD_SWISH),
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "Softmax": _softmax,
    "ArgMax": _argmax,
}
