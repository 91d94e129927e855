"""Rolling buffers of streaming layers, and the counters that drive them.

Source: ai8x-synthesis commit ab4f4c0, `izer/backend/max7800x.py`, "Stream processing start",
"Stream processing delta" and "Rollover". A layer waits until `start` words have arrived; then it
advances by `delta1` words per column and `delta2` per row; `words` are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES, LayerNeeds
from nibblefit_maxim.parts import Part

#: Words of the rolling buffer of a first layer that reads CHW data (MAX78000).
_CHW_BUFFER_WORDS = 12
#: Passes of all streaming layers in front of one together stay below this.
_MAX_PASSES_BEFORE = 16
_MAX_DELTA1 = 1 << 5


@dataclass(frozen=True, slots=True)
class Rolling:
    """A streaming layer's registers, in words of data memory."""

    start: int
    delta1: int
    delta2: int
    words: int


@dataclass(frozen=True, slots=True)
class _Sides:
    """Rows and columns of a pooling window as far as it reaches, its strides, and the data's."""

    columns: int
    tall: int
    wide: int
    stride: int
    pad: int

    @property
    def padded(self) -> int:
        """Columns with padding on both sides."""
        return self.columns + 2 * self.pad


def rolling(steps: Sequence[LayerNeeds], index: int, part: Part, *, is_chw: bool) -> Rolling:
    """Return the registers of a streaming layer.

    Args:
        steps: The leading layers as the compiler runs them, streaming ones first.
        index: The layer.
        part: The device.
        is_chw: The network's input is CHW.
    """
    if part.has_read_gap:
        return _larger(steps[index], index, is_chw=is_chw and index == 0)
    before = steps[index - 1].layer if index else None
    return _smaller(steps[index], before, is_chw=is_chw and index == 0)


def buffer_bytes(steps: Sequence[LayerNeeds], index: int, part: Part, *, is_chw: bool) -> int:
    """Return the bytes that are kept for a streaming layer in each instance.

    More than its buffer: the compiler also wants one word between a buffer and what lies behind
    it, and what a layer writes below its own buffer counts as at least as long as that.
    """
    sizes = [rolling(steps, index, part, is_chw=is_chw).words]
    if index:
        sizes.append(rolling(steps, index - 1, part, is_chw=is_chw).words)
    return (max(sizes) + 1) * DATA_WORD_BYTES


def streams_within(steps: Sequence[LayerNeeds], count: int, part: Part, *, is_chw: bool) -> bool:
    """Return whether the registers can hold what the first `count` layers need."""
    start, delta2, words = (15, 14, 18) if part.has_read_gap else (14, 12, 17)
    passes = 0
    for index in range(count):
        found = rolling(steps, index, part, is_chw=is_chw)
        is_inside = (
            found.start < 1 << start
            and found.delta1 < _MAX_DELTA1
            and found.delta2 < 1 << delta2
            and found.words < 1 << words
            and passes < _MAX_PASSES_BEFORE
        )
        if not is_inside:
            return False
        passes += steps[index].in_passes
    return True


def pooled_shape(layer: HardwareLayer) -> tuple[int, ...]:
    """Return the spatial shape behind the pooling.

    Source: ai8x-synthesis, `izer/compute.py`; equals PyTorch's rule for windows without dilation.
    """
    if layer.pool is None:
        return layer.input_shape[1:]
    pool = layer.pool
    return tuple(
        (n + s - w - d + 1) // s
        for n, w, s, d in zip(
            layer.input_shape[1:], pool.window, pool.stride, pool.dilation, strict=True
        )
    )


def _smaller(need: LayerNeeds, before: HardwareLayer | None, *, is_chw: bool) -> Rolling:
    """Return the registers on the MAX78000."""
    tall, wide = need.layer.pool.window if need.layer.pool else (1, 1)
    stride = need.layer.pool.stride[0] if need.layer.pool else 1
    columns = need.layer.input_shape[-1]
    if before is None:
        start = ((tall - 1) * columns + wide) * tall
        deltas = stride - 1, (tall - 1) * columns
    else:
        row = pooled_shape(before)[-1] + 2 * before.pad[-1]
        taps = before.kernel
        start = row * (taps[0] - 1 + tall - 1) + taps[1] - 1 + wide + 2
        deltas = stride, (stride - 1) * row + wide
    words = start + (tall - 1) * columns + max(stride, wide)
    words = _CHW_BUFFER_WORDS if is_chw else -(-words // need.in_passes) * need.in_passes
    return Rolling(start, *deltas, words)


def _larger(need: LayerNeeds, index: int, *, is_chw: bool) -> Rolling:
    """Return the registers on the MAX78002; its first layer waits for less."""
    layer, many = need.layer, need.in_passes
    sides = _sides(layer)
    stride, columns = sides.stride, sides.columns
    window = sides.tall * sides.padded + sides.pad + 2 * sides.wide
    taps = layer.pool.window if layer.pool else (1, 1)
    is_plain = stride == 1 and taps[0] == 1
    across = columns // stride
    if across * stride + taps[1] - 1 > columns:
        across -= 1
    skipped = columns - across * stride
    if index == 0:
        start = sides.wide if is_plain else window
        words = start + sides.wide + (stride - 1) * sides.padded
        delta1 = stride - is_plain
        delta2 = (stride - 1) * columns + skipped + taps[1] - 1
    else:
        start = sides.pad * sides.padded + window
        words = start + (many - 1) * (sides.tall * columns + sides.pad + sides.wide) + sides.wide
        words = -(-words // many) * many
        delta1, delta2 = stride, (stride - 1) * columns + skipped
    if stride == 1:
        delta2 = delta1 + skipped
    if is_chw:
        start, delta1, delta2 = (-(-v // DATA_WORD_BYTES) for v in (start, delta1, delta2))
        words *= stride * DATA_WORD_BYTES
    return Rolling(start, delta1, delta2, words)


def _sides(layer: HardwareLayer) -> _Sides:
    if layer.pool is None:
        return _Sides(layer.input_shape[-1], 1, 1, 1, layer.pad[-1])
    window, stride, apart = layer.pool.window, layer.pool.stride[0], layer.pool.dilation
    reach = [max(w * d, stride) for w, d in zip(window, apart, strict=True)]
    return _Sides(layer.input_shape[-1], reach[0], reach[1], stride, layer.pad[-1])
