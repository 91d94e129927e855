"""Words that a streaming layer's rolling buffer takes, as the compiler computes them.

Source: ai8x-synthesis commit ab4f4c0, `izer/backend/max7800x.py`, "Rollover". Written without the
planner's `nibblefit_maxim.memory.buffers`, so that planned files are checked by other code.
"""

from __future__ import annotations

from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.placed import Placed

#: Words of the buffer of a first layer that reads CHW data on the MAX78000.
_CHW_BUFFER_WORDS = 12


def buffer_words(item: Placed, before: HardwareLayer | None, part: Part) -> int:
    """Return the words of a streaming layer's buffer.

    Args:
        item: The layer.
        before: The streaming layer in front of it; None for the first.
        part: The device.
    """
    if part.device == "MAX78002":
        return _on_max78002(item, is_first=before is None)
    if before is None and item.is_chw:
        return _CHW_BUFFER_WORDS
    return _on_max78000(item, before)


def _pool(layer: HardwareLayer) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Return window, stride and dilation; 1-D data has one column."""
    pool = layer.pool
    if pool is None:
        return (1, 1), 1, (1, 1)
    return (*pool.window, 1)[:2], pool.stride[0], (*pool.dilation, 1)[:2]


def _columns(layer: HardwareLayer) -> int:
    return layer.input_shape[2] if len(layer.input_shape) > 2 else 1


def _taps(layer: HardwareLayer) -> tuple[int, int]:
    """Return the taps per side and the padding that streaming hardware works with: a 1×1 kernel
    runs as a padded 3×3 one.
    """
    if max(layer.kernel, default=1) == 1:
        return (3, 1) if layer.kernel else (1, 0)
    return max(layer.kernel), max(layer.pad)


def _on_max78000(item: Placed, before: HardwareLayer | None) -> int:
    window, stride, _ = _pool(item.layer)
    rows, columns = window
    width = _columns(item.layer)
    if before is None:
        prefill = ((rows - 1) * width + columns) * rows
    else:
        taps, pad = _taps(before)
        past, step, apart = _pool(before)
        pooled = (_columns(before) + step - past[1] - apart[1] + 1) // step
        prefill = (pooled + 2 * pad) * (taps + rows - 2) + taps - 1 + columns + 2
    return _whole(prefill + (rows - 1) * width + max(1, stride, columns), item.in_passes)


def _on_max78002(item: Placed, *, is_first: bool) -> int:
    window, stride, apart = _pool(item.layer)
    down, across = (max(w * d, stride) for w, d in zip(window, apart, strict=True))
    _, pad = _taps(item.layer)
    width = _columns(item.layer)
    padded = width + 2 * pad
    ahead = (down * padded + pad + 2 * across) * item.operands
    if not is_first:
        more = (item.in_passes - 1) * (down * width + pad + across)
        return _whole(pad * padded + ahead + more + across, item.in_passes)
    prefill = across if stride == 1 and window[0] == 1 else ahead
    words = prefill + across + (stride - 1) * padded
    return words * stride * 4 if item.is_chw else words


def _whole(words: int, passes: int) -> int:
    """Return the words rounded up to whole passes."""
    return -(-words // passes) * passes
