"""Values of trace files: codes of a known width and sign, or floating point.

Channels follow each other, rows within a channel, values within a row, little endian. Traces are
documented without padding; where a file has some, `Layout` says how much: it is not guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray, Format, IntArray
from nibblefit.ir.graph import Shape
from nibblefit_tidl.triage.traces.naming import TraceFile

_T = TypeVar("_T", bound=np.generic)
_FLOATS = {4: "<f4", 8: "<f8"}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a trace file holds beside the tensor, in values.

    Attributes:
        left, top, right, bottom: Values around every channel.
        channel_gap: Values behind every channel, padding included.
    """

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0
    channel_gap: int = 0

    def values(self, trace: TraceFile) -> int:
        """Return how many values a file of this layout holds."""
        plane = self._rows(trace) * self._columns(trace) + self.channel_gap
        return trace.batches * math.prod(trace.outer) * trace.channels * plane

    def inner(self, trace: TraceFile, flat: npt.NDArray[_T]) -> npt.NDArray[_T]:
        """Return the tensor (batches, *trace.shape) out of all values of a file."""
        rows, columns = self._rows(trace), self._columns(trace)
        planes = flat.reshape(-1, rows * columns + self.channel_gap)[:, : rows * columns]
        maps = planes.reshape(-1, rows, columns)
        maps = maps[:, self.top : self.top + trace.height, self.left : self.left + trace.width]
        return maps.reshape(trace.batches, *trace.shape)

    def _rows(self, trace: TraceFile) -> int:
        return self.top + trace.height + self.bottom

    def _columns(self, trace: TraceFile) -> int:
        return self.left + trace.width + self.right


def read_codes(trace: TraceFile, layout: Layout, fmt: Format, shape: Shape) -> IntArray:
    """Return the codes of a fixed-point trace, (batches, *shape), int64.

    Args:
        trace: The file.
        layout: What it holds beside the tensor.
        fmt: Our format of the tensor, whose width and sign the codes are read with.
        shape: Our shape of it, without batch axis.

    Raises:
        InputError: The file's size or the sizes in its name do not fit.
    """
    width = 1 << max(0, (fmt.bits - 1) // 8).bit_length()
    raw = _bytes(trace)
    found = _width(trace, layout, len(raw))
    if found != width:
        raise InputError(
            f"{trace.path.name} has {found} bytes a value, ours {width} ({fmt.name})",
            hint="the tools gave this tensor another width, or the file is padded: quantize it "
            "alike, or give --padding or --channel-gap",
        )
    dtype = f"<{'i' if fmt.signed else 'u'}{width}"
    values = layout.inner(trace, np.frombuffer(raw, dtype)).astype(np.int64)
    return _shaped(trace, values, shape)


def read_floats(trace: TraceFile, layout: Layout, shape: Shape) -> FloatArray:
    """Return the values of a floating-point trace, (batches, *shape); 4 or 8 bytes each.

    Raises:
        InputError: The file's size or the sizes in its name do not fit, or a value is not finite.
    """
    raw = _bytes(trace)
    found = _width(trace, layout, len(raw))
    if found not in _FLOATS:
        raise InputError(f"{trace.path.name} has {found} bytes a value; expected 4, or 8")
    flat = np.frombuffer(raw, _FLOATS[found]).astype(np.float64)
    values = layout.inner(trace, flat)
    if not np.isfinite(values).all():
        raise InputError(f"{trace.path.name} holds a value that is infinite or not a number")
    return _shaped(trace, values, shape)


def _bytes(trace: TraceFile) -> bytes:
    try:
        return trace.path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {trace.path}: {error.strerror}") from error


def _width(trace: TraceFile, layout: Layout, size: int) -> int:
    """Return the bytes of a value."""
    values = layout.values(trace)
    if values and size and size % values == 0 and size // values in (1, 2, 4, 8):
        return size // values
    outer = trace.outer if max(trace.outer) > 1 else ()
    sizes = "x".join(map(str, (trace.batches, *outer, *trace.shape[2:])))
    raise InputError(
        f"{trace.path.name} has {size} bytes; {values} values ({sizes}, and padding as given) "
        f"take {values}, {2 * values}, {4 * values} or {8 * values}",
        hint="a truncated copy, or rows and channels with padding: give --padding or --channel-gap",
    )


def _shaped(trace: TraceFile, values: npt.NDArray[_T], shape: Shape) -> npt.NDArray[_T]:
    """Return values in our shape; sizes of one may be missing or stand elsewhere."""
    if [n for n in trace.shape if n > 1] == [n for n in shape if n > 1]:
        return values.reshape(len(values), *shape)
    ours = "x".join(map(str, shape))
    theirs = f"{trace.channels} channels, width {trace.width}, height {trace.height}"
    swapped = len(shape) == 3 and shape[1:] == (trace.width, trace.height)
    raise InputError(
        f"{trace.path.name} says {theirs}, ours is {ours} (channels, height, width)",
        hint="if the tools put the height first, give --height-first" if swapped
        else "the traces are another network's, or another input size's",
    )  # fmt: skip
