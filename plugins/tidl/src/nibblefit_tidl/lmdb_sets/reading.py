"""``data.source = "lmdb"``: databases that Caffe's convert_imageset and our writer make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from nibblefit.data.labels import class_names_for
from nibblefit.data.material import Material
from nibblefit.data.options import ScaleOptions
from nibblefit.data.scaling import UINT8_FULL_SCALE
from nibblefit.errors import InputError
from nibblefit.hooks import DataReader
from nibblefit_tidl.lmdb_sets.database import FILE, Database
from nibblefit_tidl.lmdb_sets.datums import pixels_of, read_datum

#: Sets up to this size are kept in memory; larger ones are read record by record.
MEMORY_BYTES = 512 * 2**20
#: Words in the names of the databases of a set that is already split.
_PARTS = {"train": ("train",), "validation": ("val",), "test": ("test",)}


class LmdbOptions(ScaleOptions):
    """Options of source ``lmdb``."""

    order: Literal["bgr", "rgb"] = Field(
        default="bgr", description="Order of the three colours; Caffe stores blue, green, red."
    )
    names: tuple[str, ...] = Field(default=(), description="Class names.")


class LmdbPictures:
    """Pictures of one or several databases, read when asked for (count, channels, *spatial).

    Args:
        records: (database, key) of each sample.
        shape: Of every picture.
        flip: Turn the order of the colours round.
    """

    def __init__(
        self, records: Sequence[tuple[Database, bytes]], shape: tuple[int, ...], *, flip: bool
    ) -> None:
        self.shape: tuple[int, ...] = (len(records), *shape)
        self._records = tuple(records)
        self._flip = flip

    def __getitem__(self, indices: Any) -> npt.NDArray[np.generic]:
        numbers = np.arange(len(self._records))[indices]
        wanted = [self._records[number] for number in numbers]
        pictures: list[npt.NDArray[np.generic] | None] = [None] * len(wanted)
        for database in dict.fromkeys(database for database, _ in wanted):
            with database.opened() as get:
                for place, (home, key) in enumerate(wanted):
                    if home is database:
                        pictures[place] = self._picture(get(key), _where(database, key))
        if not wanted:
            return np.empty((0, *self.shape[1:]), np.uint8)
        stacked = np.stack([picture for picture in pictures if picture is not None])
        return stacked[:, ::-1] if self._flip else stacked

    def _picture(self, raw: bytes, where: str) -> npt.NDArray[np.generic]:
        found = pixels_of(read_datum(raw, where), where)
        if found.shape != self.shape[1:]:
            raise InputError(
                f"{where} has the shape {found.shape}, the first picture {self.shape[1:]}",
                hint="write the set with one size (convert_imageset --resize_height …)",
            )
        return found


def read_lmdb(folder: Path, options: LmdbOptions) -> Material:
    """Read one database, or the databases of a folder whose names say train, val and test.

    Raises:
        InputError: No database, a damaged record, pictures of several sizes or kinds.
        MissingExtraError: lmdb, or Pillow for encoded pictures, is not installed.
    """
    parts = _databases(folder)
    records, labels, bounds = [], [], [0]
    first: npt.NDArray[np.generic] | None = None
    for database in parts:
        for key, raw in database.records() if database is not None else ():
            assert database is not None
            where = _where(database, key)
            datum = read_datum(raw, where)
            first = pixels_of(datum, where) if first is None else first
            records.append((database, key))
            labels.append(int(datum.label))
        bounds.append(len(records))
    if bounds[1] == 0 or first is None:
        raise InputError(f"{folder} holds no record to train with", hint="write the set again")
    pictures = LmdbPictures(
        records, first.shape, flip=options.order == "rgb" and first.shape[0] == 3
    )
    small = math.prod(pictures.shape) * first.itemsize <= MEMORY_BYTES
    inputs = pictures[:] if small else pictures
    targets = np.asarray(labels, np.int64)
    lowest, full = _scale(first, options, folder)
    return Material(
        inputs=inputs,
        targets=targets,
        lowest=lowest,
        full=full,
        class_names=class_names_for(targets, options.names, str(folder)),
        validation=np.arange(bounds[1], bounds[2]) if parts[1] else None,
        test=np.arange(bounds[2], bounds[3]) if parts[2] else None,
    )


def _where(database: Database, key: bytes) -> str:
    return f"record {key.decode('utf-8', 'backslashreplace')} of {database.folder}"


def _databases(folder: Path) -> tuple[Database, Database | None, Database | None]:
    if (folder / FILE).is_file():
        return Database(folder), None, None
    inner = sorted(p for p in folder.iterdir() if (p / FILE).is_file()) if folder.is_dir() else []
    found: dict[str, Path] = {}
    for part, words in _PARTS.items():
        named = [path for path in inner if any(word in path.name.lower() for word in words)]
        if len(named) > 1:
            raise InputError(
                f"{folder} holds several databases for {part}: "
                f"{', '.join(path.name for path in named)}",
                hint="keep one of them there",
            )
        if named:
            found[part] = named[0]
    if "train" not in found:
        raise InputError(
            f"{folder} holds no LMDB database ({FILE})",
            hint="give the folder of data.mdb, or one with train…, val… and test… folders",
        )
    rest = (Database(found[part]) if part in found else None for part in ("validation", "test"))
    return (Database(found["train"]), *rest)  # type: ignore[return-value]


def _scale(
    first: npt.NDArray[np.generic], options: LmdbOptions, folder: Path
) -> tuple[float, float]:
    if first.dtype == np.uint8:
        lowest, full = 0.0, UINT8_FULL_SCALE
    elif options.lowest is None or options.full_scale is None:
        raise InputError(
            f"{folder} holds floats, and nothing says which values are the ends of their scale",
            hint="set data.options = {lowest = …, full_scale = …}",
        )
    else:
        lowest, full = options.lowest, options.full_scale
    return (
        lowest if options.lowest is None else options.lowest,
        full if options.full_scale is None else options.full_scale,
    )


LMDB_READER = DataReader(
    "lmdb", "LMDB databases of Caffe datums (extra lmdb of nibblefit-tidl)", LmdbOptions, read_lmdb
)
