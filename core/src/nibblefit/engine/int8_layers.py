"""Layers on oneDNN's int8 convolution: with the steps fused into it, or with bare exact sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nibblefit.engine import onednn
from nibblefit.engine.dense_layers import exact_layer
from nibblefit.engine.ranges import FLOAT32_EXACT, LIMITS, Range, storage_type
from nibblefit.engine.requantization import NotAStaircaseError, Staircase, fuse
from nibblefit.engine.task import Kernel, Operand, Prepare, Task
from nibblefit.engine.weighted import (
    Layer,
    NotApplicableError,
    pads_inside,
    plus_variable_bias,
)
from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.steps import Add
from nibblefit.ir.ops import Op

_INT32_ROOM = 1 << 31
#: Multiplications of one compile-time comparison with float64; larger images are cropped.
_CHECK_WORK = 1 << 27
#: Shapes for which a layer keeps its weights laid out: the full chunk, the last one, and two more.
_SHAPES = 4

#: From the shape of the stored activations to the kernel for it.
ByShape: TypeAlias = Callable[[torch.Size], Prepare]
#: Shape of the activations, and threads inside an operation.
_Case: TypeAlias = tuple[torch.Size, int]


@dataclass(frozen=True, slots=True)
class Codes:
    """How activations become uint8 codes (None: they are), and which code means zero."""

    prepare: Prepare | None
    zero: int


def codes_of(x: Operand) -> Codes:
    """Return the cheapest uint8 form of an operand.

    Raises:
        NotApplicableError: Its values, zero included, span more than 8 bits.
    """
    plain = _added_constant(x)
    if plain is not None:
        if x.stored is torch.uint8 and 0 <= -plain <= onednn.CODES:
            return Codes(None, -plain)
        if x.stored is torch.int8 and 0 <= 128 - plain <= onednn.CODES:
            # Flipping the sign bit adds 128 to a two's-complement byte.
            return Codes(lambda t: t.view(torch.uint8) ^ 128, 128 - plain)
    low, high = min(x.values.lo, 0), max(x.values.hi, 0)
    if high - low > onednn.CODES:
        raise NotApplicableError(f"activations {x.values.lo} … {x.values.hi} exceed 8 bits")
    fetch = x.fetch(torch.int16)
    return Codes(lambda t: (fetch(t) - low).to(torch.uint8), -low)


def _added_constant(x: Operand) -> int | None:
    """Return a if the input steps are nothing but ``x + a``, 0 if there are none."""
    if not x.steps:
        return 0
    (first, *rest) = x.steps
    if rest or not isinstance(first, Add) or not isinstance(first.value, int):
        return None
    return first.value


def fused_kernel(task: Task, layer: Layer) -> Kernel:
    """Return the convolution that rounds and saturates in the same pass.

    Raises:
        NotApplicableError: Some condition fails; the text says which.
    """
    _require_int8(layer)
    if layer.variable_bias is not None:
        raise NotApplicableError("the bias is a variable")
    if task.forbidden(layer.raw):
        raise NotApplicableError("the accumulator needs a check at run time")
    result = task.finish(layer.raw).result
    try:
        stairs = Staircase.of(task.steps_from(layer.raw), layer.bias, layer.axes)
        tail = fuse(stairs, layer.sums, result)
    except NotAStaircaseError as why:
        raise NotApplicableError(str(why)) from why
    run, stored = _convolution(layer, layer.weights, tail), storage_type(result)
    sums, finish = exact_layer(layer, torch.float64), task.finish(layer.raw, stored)

    def codes(shape: torch.Size) -> Prepare:
        path = run(shape)
        return path if tail.dtype is stored else lambda x: path(x).view(stored)

    guarded = Guarded(codes, lambda x: finish(sums(x)))
    guarded.check(_extremes(layer))
    return Kernel(lambda x: (guarded(x),), layer.raw, "oneDNN int8, fused rounding",
                  "int32 sums below 2^31; float32 tail exact until it saturates",
                  layer.bound, is_finished=True)  # fmt: skip


def sums_kernel(task: Task, layer: Layer) -> Kernel:
    """Return the convolution that delivers bare sums, exact in float32 or joined in int32.

    Raises:
        NotApplicableError: Some condition fails; the text says which.
    """
    _require_int8(layer)
    if layer.bound <= FLOAT32_EXACT:
        tail = onednn.Tail(_ones(layer), _bias(layer), torch.float32)
        run, name = _convolution(layer, layer.weights, tail), "oneDNN int8, float32 sums"
        reason = f"sums of at most {layer.bound} ≤ 2^24"
    else:
        run, name = _split(layer), "oneDNN int8 in two halves, int32 sums"
        reason = "weights = 16·high + low; each half sums below 2^24"
    guarded = Guarded(run, exact_layer(layer, torch.float64))
    guarded.check(_extremes(layer))
    if layer.variable_bias is None:
        return Kernel(lambda x: (guarded(x),), layer.raw, name, reason, layer.bound)
    dtype = task.working(layer.raw, layer.variable_bias.values)
    return Kernel(lambda x, bias: (plus_variable_bias(layer, guarded(x), bias, dtype),),
                  layer.raw, name, reason, layer.bound)  # fmt: skip


def _split(layer: Layer) -> ByShape:
    """Return the sums of both halves of the weights, joined in int32."""
    low = ((layer.weights + 8) & 15) - 8
    high = (layer.weights - low) >> 4
    largest = layer.x.values.magnitude
    for half in (low, high):
        if int(np.abs(half).reshape(layer.outputs, -1).sum(axis=1).max()) * largest > FLOAT32_EXACT:
            raise NotApplicableError(f"sums of {layer.bound} exceed 2^24 even with halved weights")
    tail = onednn.Tail(_ones(layer), None, torch.float32)
    run_low, run_high = (_convolution(layer, half, tail) for half in (low, high))
    bias = torch.from_numpy(layer.bias.copy()).to(torch.int32)
    bias = bias.reshape(-1, *(1,) * layer.axes) if layer.axes else bias

    def by_shape(shape: torch.Size) -> Prepare:
        lower, upper = run_low(shape), run_high(shape)

        def run(x: Tensor) -> Tensor:
            total = upper(x).to(torch.int32).mul_(16)
            return total.add_(lower(x).to(torch.int32)).add_(bias)

        return run

    return by_shape


def _require_int8(layer: Layer) -> None:
    if layer.op is Op.CONV_TRANSPOSE or layer.axes > 2:
        raise NotApplicableError("oneDNN int8 serves convolutions of 1 or 2 axes and linear layers")
    channels = layer.weights.shape[1] * layer.groups
    if layer.groups not in (1, channels) or (layer.groups > 1 and layer.outputs != channels):
        raise NotApplicableError("oneDNN int8 is wrong for some grouped convolutions")
    limits = LIMITS[torch.int8]
    if not (layer.weights.min() >= limits.lo and layer.weights.max() <= limits.hi):
        raise NotApplicableError("weights exceed 8 bits")
    reach = 2 * onednn.CODES * max(layer.weight_sums) + Range(*_ends(layer.bias)).magnitude
    if reach >= _INT32_ROOM:
        raise NotApplicableError(f"sums of {reach} exceed 31 bits")
    if reason := onednn.trusted():
        raise NotApplicableError(reason)
    codes_of(layer.x)


def _ends(values: IntArray) -> tuple[int, int]:
    return int(values.min(initial=0)), int(values.max(initial=0))


def _ones(layer: Layer) -> Tensor:
    return torch.ones(layer.outputs)


def _bias(layer: Layer) -> Tensor | None:
    return torch.from_numpy(layer.bias.astype(np.float32)) if layer.bias.any() else None


def _convolution(layer: Layer, weights: IntArray, tail: onednn.Tail) -> ByShape:
    """Return the layer on oneDNN, from the stored activations to sums or codes."""
    codes = codes_of(layer.x)
    window, axes = layer.window, layer.axes
    strides = (*(1,) * (2 - axes), *window.strides)
    dilations = (*(1,) * (2 - axes), *window.dilations)
    begins, ends = (0,) * (2 - axes) + window.begins(), (0,) * (2 - axes) + window.ends()
    # A zero code other than 0 makes oneDNN correct the sums under padding, wrongly so for some
    # geometries; padding with that code beforehand needs no correction.
    is_plain = pads_inside(window) and (codes.zero == 0 or not any(window.pads))
    geometry = onednn.Geometry(
        (strides[0], strides[1]), (begins[0], begins[1]) if is_plain else (0, 0),
        (dilations[0], dilations[1]), layer.groups,
    )  # fmt: skip
    shape = (*weights.shape[:2], *(1,) * (2 - axes), *weights.shape[2:])
    packed = torch.from_numpy(weights.astype(np.int8).reshape(shape))
    convolution = onednn.prepare(packed, codes.zero, geometry, tail)
    around = (begins[1], ends[1], begins[0], ends[0])

    def by_shape(stored: torch.Size) -> Prepare:
        batch, channels, height, width = size = _as_image(stored, axes)
        stages: list[Prepare | None] = [
            (lambda x: x.reshape(size)) if axes < 2 else None,
            codes.prepare,
            None if is_plain else (lambda x: onednn.pad_codes(x, around, codes.zero)),
        ]
        if not is_plain:
            height, width = height + around[2] + around[3], width + around[0] + around[1]
        stages.append(convolution((batch, channels, height, width)))
        if axes == 0:
            out = (*stored[:-1], weights.shape[0])
            stages.append(lambda x: x.reshape(out))
        elif axes == 1:
            stages.append(lambda x: x.squeeze(2))
        return _in_a_row(stages)

    return by_shape


def _as_image(shape: torch.Size, axes: int) -> tuple[int, int, int, int]:
    """Return the shape of a sequence (1 axis) or of rows (linear) as images."""
    if axes == 0:
        return (math.prod(shape[:-1]), shape[-1], 1, 1)
    batch, channels, *sizes = shape
    height, width = (1, sizes[0]) if axes == 1 else sizes
    return (batch, channels, height, width)


def _in_a_row(stages: Sequence[Prepare | None]) -> Prepare:
    """Return the stages as one function, without a frame for those that do nothing."""
    first, *rest = [stage for stage in stages if stage is not None]
    if not rest:
        return first
    if len(rest) == 1:
        (second,) = rest
        return lambda x: second(first(x))

    def call(x: Tensor) -> Tensor:
        x = first(x)
        for stage in rest:
            x = stage(x)
        return x

    return call


@dataclass(frozen=True, slots=True)
class Guarded:
    """An int8 kernel with the float64 one that vouches for it.

    oneDNN picks its code by shape and threads, batch included, and some of its code is wrong for
    rare geometries (random graphs found grouped ones). So the first batch of every shape is
    compared, first and last image, and a shape that differs stays with float64.
    """

    fast: ByShape
    exact: Prepare
    sound: dict[_Case, bool] = field(default_factory=dict)
    paths: dict[_Case, Prepare] = field(default_factory=dict)

    def __call__(self, x: Tensor) -> Tensor:
        case = (x.shape, torch.get_num_threads())
        path = self.paths.get(case)
        return self._choose(case, x)(x) if path is None else path(x)

    def _choose(self, case: _Case, x: Tensor) -> Prepare:
        path = self.fast(x.shape)
        if case not in self.sound:
            self.sound[case] = _same(_ends_of(path(x)), self.exact(_ends_of(x)))
        if not self.sound[case]:
            path = self.exact
        # Chunks run side by side: copying the keys is one step under Python's lock.
        for oldest in list(self.paths)[: 1 - _SHAPES]:
            self.paths.pop(oldest, None)
        self.paths[case] = path
        return path

    def check(self, images: Tensor) -> None:
        """Compare whole images; NotApplicableError if one differs."""
        if not _same(self.fast(images.shape)(images), self.exact(images)):
            raise NotApplicableError(
                "oneDNN's kernel for this geometry is not exact on this processor"
            )


def _ends_of(images: Tensor) -> Tensor:
    """Return the first and the last image."""
    return images if len(images) < 3 else torch.cat([images[:1], images[-1:]])


def _same(found: Tensor, expected: Tensor) -> bool:
    return torch.equal(found.double(), expected.double())


def _extremes(layer: Layer) -> Tensor:
    """Return images for a comparison at compile time.

    `onednn.trusted` has proven the processor; this covers the code that oneDNN picked for the
    geometry. With all activations at their largest, every pair of products that could saturate
    16 bits does.
    """
    source = layer.x.source
    random = torch.Generator().manual_seed(0)
    shape = _cropped(layer)
    images = [
        torch.full(shape, source.hi),
        torch.full(shape, source.lo),
        torch.where(torch.randint(0, 2, shape, generator=random) == 1, source.hi, source.lo),
        torch.randint(source.lo, source.hi + 1, shape, generator=random),
    ]
    return torch.stack(images).to(layer.x.stored)


def _cropped(layer: Layer) -> tuple[int, ...]:
    """Return the activation shape with spatial axes small enough for a quick comparison."""
    channels, *sizes = layer.x.shape
    if not layer.axes:
        return (*(1,) * len(sizes), layer.x.shape[-1]) if sizes else layer.x.shape
    spans = layer.window.spans()
    while math.prod(layer.window.output_sizes(sizes)) * layer.weights.size > _CHECK_WORK:
        smaller = [max(size // 2, span) for size, span in zip(sizes, spans, strict=True)]
        if smaller == sizes:
            break
        sizes = smaller
    return (channels, *sizes)
