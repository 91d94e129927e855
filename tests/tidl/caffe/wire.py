"""Caffe's binary files assembled byte by byte, from field numbers written down here again.

Nothing of the plugin is used, so that a wrong number in its table cannot hide.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

Blob = tuple[tuple[int, ...], Iterable[float]]


def varint(value: int) -> bytes:
    """Return a variable-length integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    """Return an integer field."""
    return varint(field << 3) + varint(value)


def block(field: int, payload: bytes) -> bytes:
    """Return a field of bytes: text, a packed list or a message."""
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def floats(values: Iterable[float]) -> bytes:
    """Return packed float32 numbers."""
    return np.asarray(list(np.ravel(list(values))), "<f4").tobytes()


def blob(shape: tuple[int, ...], values: Iterable[float]) -> bytes:
    """Return today's BlobProto: data 5, shape 7 with dim 1."""
    dims = block(1, b"".join(varint(size) for size in shape))
    return block(5, floats(values)) + block(7, dims)


def old_blob(shape: tuple[int, int, int, int], values: Iterable[float]) -> bytes:
    """Return the old BlobProto: num 1, channels 2, height 3, width 4; data unpacked."""
    sizes = b"".join(number(field + 1, size) for field, size in enumerate(shape))
    return sizes + b"".join(b"\x2d" + struct.pack("<f", value) for value in values)


def layer(name: str, kind: str, blobs: Iterable[bytes]) -> bytes:
    """Return a LayerParameter inside a NetParameter: layer 100; name 1, type 2, blobs 7."""
    body = block(1, name.encode()) + block(2, kind.encode())
    return block(100, body + b"".join(block(7, each) for each in blobs))


def old_layer(name: str, kind: int, blobs: Iterable[bytes]) -> bytes:
    """Return a V1LayerParameter inside a NetParameter: layers 2; name 4, type 5, blobs 6."""
    body = block(4, name.encode()) + number(5, kind)
    return block(2, body + b"".join(block(6, each) for each in blobs))


def raw_blob(shape: tuple[int, ...], kind: int, payload: bytes) -> bytes:
    """Return NVIDIA's raw form: raw_data_type 10, raw_data 12."""
    dims = block(1, b"".join(varint(size) for size in shape))
    return block(7, dims) + number(10, kind) + block(12, payload)


def double_blob(shape: tuple[int, ...], values: Iterable[float]) -> bytes:
    """Return double_data 8."""
    dims = block(1, b"".join(varint(size) for size in shape))
    return block(7, dims) + block(8, np.asarray(list(values), "<f8").tobytes())
