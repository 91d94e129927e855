"""Write pictures as an LMDB database of Caffe datums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit_tidl.lmdb_sets.database import write_records
from nibblefit_tidl.lmdb_sets.datums import datum_of

#: LMDB's own pages, and room for keys and headers, in bytes per record.
_OVERHEAD, _LEAST = 8192, 1 << 22


def write_lmdb(
    folder: Path,
    pictures: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    labels: Sequence[int] | npt.NDArray[np.int64],
    *,
    encoding: str = "",
) -> None:
    """Write one database.

    Args:
        folder: New folder of the database.
        pictures: (count, channels, height, width), uint8 or float32; colours in the order blue,
            green, red, as Caffe wants them.
        labels: One class number per picture.
        encoding: ``PNG`` or another format of Pillow; empty stores the pixels themselves.

    Raises:
        InputError: Shapes do not fit, or the folder holds a database already.
    """
    if pictures.ndim != 4 or len(pictures) != len(labels) or len(pictures) == 0:
        raise InputError(
            f"pictures have the shape {pictures.shape} and there are {len(labels)} labels; "
            "expected (count, channels, height, width) and one label each"
        )
    if pictures.dtype not in (np.uint8, np.float32):
        raise InputError(f"pictures are {pictures.dtype}; expected uint8 or float32")
    size = 2 * pictures.nbytes + len(pictures) * _OVERHEAD + _LEAST
    write_records(folder, _records(pictures, labels, encoding), size)


def _records(
    pictures: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
    labels: Sequence[int] | npt.NDArray[np.int64],
    encoding: str,
) -> Iterator[tuple[bytes, bytes]]:
    for number, picture in enumerate(pictures):
        datum = datum_of(picture, int(labels[number]), encoding)
        yield f"{number:08d}".encode(), datum.SerializeToString(deterministic=True)
