"""BatchNormalization, Dropout and operators that change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused

_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})


def _batch_norm(site: Site) -> str:
    if site.attribute("training_mode", 0):
        raise Refused("it is in training mode", "export the network in evaluation mode")
    words = ("weight", "bias", "running_mean", "running_var")
    inputs = [site.activation(0), *(site.weight(i, w) for i, w in enumerate(words, start=1))]
    epsilon = _short(float(site.attribute("epsilon", 1e-5)))
    # ONNX counts the share of the old statistics, the graph that of the new ones.
    momentum = _short(1.0 - float(site.attribute("momentum", 0.9)))
    kept: dict[str, Any] = {} if momentum == 0.1 else {"momentum": momentum}
    return site.add(Op.BATCH_NORM, inputs, epsilon=epsilon, **kept)


def _short(value: float) -> float:
    """Return the shortest decimal number that the file's float32 stands for."""
    return float(f"{value:.7g}")


def _dropout(site: Site) -> str:
    p = float(site.attribute("ratio", 0.5))
    if site.has(1):
        p = float(site.array(1, "ratio").reshape(-1)[0])
    return site.add(Op.DROPOUT, [site.activation()], p=_short(p))


def _identity(site: Site) -> str:
    return site.add(Op.IDENTITY, [site.activation()])


def _cast(site: Site) -> str:
    if site.attribute("to") not in _FLOATS:
        raise Refused("it turns values into integers", "leave rounding to quantization")
    return site.activation()


HANDLERS: Mapping[str, Handler] = {
    "BatchNormalization": _batch_norm,
    "Dropout": _dropout,
    "Identity": _identity,
    "Cast": _cast,
}
