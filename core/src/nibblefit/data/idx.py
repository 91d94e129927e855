"""IDX files, the format of the MNIST family, plain or gzip-compressed."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError

#: Third byte of the magic number → element type, big-endian.
#: Source: Y. LeCun, "The MNIST database", section "The IDX file format".
ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
_GZIP_MAGIC = b"\x1f\x8b"
_REMEDY = "download the file again and compare its checksum"


def read_idx(path: Path, *, axes: int | None = None) -> npt.NDArray[np.generic]:
    """Return the array in an IDX file, in the machine's byte order.

    Args:
        path: File; compressed or not is told from its content, not from its name.
        axes: Number of axes the caller needs; None accepts any.

    Raises:
        InputError: Unreadable, not IDX, truncated, damaged or with data left over.
    """
    content = _content(path)
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[2] not in ELEMENT_TYPES:
        found = content[:4].hex(" ") or "nothing"
        raise InputError(
            f"{path} is not an IDX file: it starts with {found}, expected 00 00 08 …",
            hint=_REMEDY,
        )
    rank = content[3]
    if axes is not None and rank != axes:
        raise InputError(
            f"{path} holds an array of {rank} axes, expected {axes}",
            hint="images have 3 axes, labels 1; perhaps the two files are exchanged",
        )
    header = 4 + 4 * rank
    if len(content) < header:
        raise InputError(f"{path} ends within its header of {header} bytes", hint=_REMEDY)
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, 4))
    dtype = ELEMENT_TYPES[content[2]]
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise InputError(
            f"{path} has {len(content):,} bytes, its header {list(shape)} asks for {expected:,}",
            hint=_REMEDY,
        )
    values = np.frombuffer(content, dtype, offset=header).reshape(shape)
    native: npt.NDArray[np.generic] = values.astype(dtype.newbyteorder("="))
    return native


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}", hint="check data.path"
        ) from error
    if raw[:2] != _GZIP_MAGIC:
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged gzip: {error}", hint=_REMEDY) from error
