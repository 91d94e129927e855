"""Weights that no file holds: Caffe's fillers, drawn from a seed of our own."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from nibblefit.fixed.formats import FloatArray
from nibblefit_tidl.caffe.schema import Message, enum_name

Shape = tuple[int, ...]
_Draw = Callable[[Message, Shape, np.random.Generator], FloatArray]


class FillerError(ValueError):
    """A filler that does not exist or does not fit its blob; the text says which."""


def filled(filler: Message, shape: Shape, seed: int, blob: str) -> FloatArray:
    """Return the numbers that a filler draws for a blob.

    Args:
        filler: A ``FillerParameter``; unset means the constant 0.
        shape: Shape of the blob.
        seed: Seed of the whole network.
        blob: Name of the blob; each has random numbers of its own, whatever comes before it.

    Raises:
        FillerError: No such filler.
    """
    # The "static" fillers of NVIDIA's fork draw once per blob, which is what happens here anyway.
    kind = filler.type.removesuffix("static")
    if kind not in _FILLERS:
        raise FillerError(f"there is no filler '{filler.type}'; known: {', '.join(_FILLERS)}")
    random = np.random.default_rng([seed, zlib.crc32(blob.encode())])
    return _FILLERS[kind](filler, shape, random)


def bilinear(shape: Shape) -> FloatArray:
    """Return the weights of a bilinear upsampling with square kernels.

    Entry (y, x) of a k × k kernel is (1 − |x/f − c|)·(1 − |y/f − c|) with f = ⌈k/2⌉ and
    c = (2f − 1 − f mod 2) / 2f.
    """
    if len(shape) != 4 or shape[2] != shape[3]:
        raise FillerError(f"the bilinear filler needs square kernels, found shape {shape}")
    factor = math.ceil(shape[3] / 2)
    centre = (2 * factor - 1 - factor % 2) / (2 * factor)
    taps = 1 - np.abs(np.arange(shape[3]) / factor - centre)
    return np.broadcast_to(np.outer(taps, taps), shape).copy()


def _fan(filler: Message, shape: Shape) -> float:
    count = math.prod(shape)
    fan_in = count / shape[0]
    fan_out = count / (shape[1] if len(shape) > 1 else 1)
    norm = enum_name(filler, "variance_norm")
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out}.get(norm, (fan_in + fan_out) / 2)


def _gaussian(filler: Message, shape: Shape, random: np.random.Generator) -> FloatArray:
    drawn = random.normal(filler.mean, filler.std, shape)
    if filler.sparse >= 0:
        drawn = drawn * (random.random(shape) < filler.sparse / shape[0])
    return drawn


def _unitball(_: Message, shape: Shape, random: np.random.Generator) -> FloatArray:
    drawn = random.random((shape[0], -(-math.prod(shape) // shape[0])))
    shares: FloatArray = drawn / drawn.sum(axis=1, keepdims=True)
    return shares.reshape(shape)


def _xavier(filler: Message, shape: Shape, random: np.random.Generator) -> FloatArray:
    limit = math.sqrt(3 / _fan(filler, shape))
    return random.uniform(-limit, limit, shape)


def _msra(filler: Message, shape: Shape, random: np.random.Generator) -> FloatArray:
    return random.normal(0.0, math.sqrt(2 / _fan(filler, shape)), shape)


_FILLERS: Mapping[str, _Draw] = {
    "constant": lambda filler, shape, _: np.full(shape, filler.value, np.float64),
    "uniform": lambda filler, shape, random: random.uniform(filler.min, filler.max, shape),
    "gaussian": _gaussian,
    "positive_unitball": _unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": lambda _, shape, __: bilinear(shape),
}
