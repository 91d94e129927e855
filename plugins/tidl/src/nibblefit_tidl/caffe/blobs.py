"""Arrays in Caffe's messages: every form in which a blob stores its numbers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray
from nibblefit_tidl.caffe.schema import Message, enum_name, new

#: NVIDIA's raw storage: type name → numpy type.
_RAW = {"DOUBLE": "<f8", "FLOAT": "<f4", "FLOAT16": "<f2"}


def array_of(blob: Message, where: str) -> FloatArray:
    """Return a blob's numbers in float64; a shape in the old four-number form stays 4-D.

    Raises:
        InputError: Numbers and shape do not fit, or a number is not finite.
    """
    shape = _shape(blob)
    values = _values(blob, where)
    if any(size < 0 for size in shape) or values.size != math.prod(shape):
        raise InputError(
            f"{where} holds {values.size:,} numbers for the shape {shape}",
            hint="the file is damaged: copy or download it again",
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{where} holds {np.count_nonzero(~np.isfinite(values)):,} numbers that are not finite",
            hint="the training that made it diverged, or the file is damaged",
        )
    return values.reshape(shape)


def _shape(blob: Message) -> tuple[int, ...]:
    if blob.HasField("shape"):
        return tuple(blob.shape.dim)
    return (blob.num, blob.channels, blob.height, blob.width)


def _values(blob: Message, where: str) -> FloatArray:
    if blob.HasField("raw_data"):
        kind = enum_name(blob, "raw_data_type")
        if kind not in _RAW or len(blob.raw_data) % np.dtype(_RAW[kind]).itemsize:
            raise InputError(f"{where} holds {len(blob.raw_data):,} raw bytes of type {kind}")
        return np.frombuffer(blob.raw_data, _RAW[kind]).astype(np.float64)
    if blob.double_data:
        return np.fromiter(blob.double_data, np.float64, len(blob.double_data))
    return np.fromiter(blob.data, np.float64, len(blob.data))


def blob_of(values: npt.ArrayLike) -> Message:
    """Return a blob with these numbers: as float32 where that is exact, else as double."""
    array = np.asarray(values, np.float64)
    blob = new("BlobProto")
    blob.shape.dim.extend(array.shape)
    single = array.astype(np.float32)
    if np.array_equal(single.astype(np.float64), array):
        blob.data.extend(single.ravel().tolist())
    else:
        blob.double_data.extend(array.ravel().tolist())
    return blob
