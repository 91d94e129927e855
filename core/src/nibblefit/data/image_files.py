"""Pictures on disk, read as one array (extra ``image``)."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

#: Suffixes taken for pictures; other files in a class folder are passed over.
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff",
                      ".webp"})  # fmt: skip
#: What Pillow's decoders raise on damaged files, beside OSError.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


class ImageFiles:
    """Pictures read when asked for; stands in for an array (count, channels, height, width) uint8.

    Args:
        paths: One file per sample.
        size: (height, width) every picture is resized to (bilinear); None: they must already
            have the size of the first.
        gray: One channel instead of three.
    """

    def __init__(self, paths: Sequence[Path], size: tuple[int, int] | None, *, gray: bool) -> None:
        self._paths = tuple(paths)
        self._resize = size is not None
        self._mode = "L" if gray else "RGB"
        height, width = size or _read(paths[0], self._mode, None).shape[-2:]
        self.shape: tuple[int, ...] = (len(paths), 1 if gray else 3, height, width)

    @property
    def bytes(self) -> int:
        """Size of the whole set once decoded."""
        return math.prod(self.shape)

    def __getitem__(self, indices: Any) -> npt.NDArray[np.uint8]:
        numbers = np.arange(len(self._paths))[indices]
        found = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        size = (self.shape[2], self.shape[3]) if self._resize else None
        for place, number in enumerate(numbers):
            path = self._paths[number]
            picture = _read(path, self._mode, size)
            if picture.shape != self.shape[1:]:
                raise InputError(
                    f"{path} is {picture.shape[1]} × {picture.shape[2]} pixels, the first picture "
                    f"{self.shape[2]} × {self.shape[3]}",
                    hint="set data.options = {size = N} or {size = [height, width]}",
                )
            found[place] = picture
        return found


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("data source 'folder'", "image") from error
    return Image


def read_labels(paths: Sequence[Path], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return label maps (count, height, width) of indexed or gray pictures, one number per pixel.

    Args:
        paths: One file per sample.
        size: (height, width) every map is resized to, by the nearest pixel.

    Raises:
        InputError: A map is missing, damaged, or coloured instead of indexed.
    """
    maps = np.empty((len(paths), *size), np.uint8)
    image = _pillow()
    for place, path in enumerate(paths):
        try:
            with image.open(path) as picture:
                if picture.mode not in ("P", "L", "1"):
                    raise InputError(
                        f"{path} has colours of mode {picture.mode}, not a number per pixel",
                        hint="save label maps as indexed (palette) or gray pictures",
                    )
                numbers = picture.convert("L") if picture.mode == "1" else picture
                if (numbers.height, numbers.width) != size:
                    numbers = numbers.resize((size[1], size[0]), image.Resampling.NEAREST)
                maps[place] = np.asarray(numbers, np.uint8)
        except (*_DAMAGE, image.DecompressionBombError) as error:
            raise InputError(
                f"{path} cannot be decoded: {error}", hint="replace or remove the picture"
            ) from error
    return maps


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a picture in pixels, without decoding it."""
    image = _pillow()
    try:
        with image.open(path) as picture:
            return picture.height, picture.width
    except (*_DAMAGE, image.DecompressionBombError) as error:
        raise InputError(
            f"{path} cannot be decoded: {error}", hint="replace or remove the picture"
        ) from error


def _read(path: Path, mode: str, size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    image = _pillow()
    try:
        with image.open(path) as picture:
            converted = picture.convert(mode)
            if size is not None and (converted.height, converted.width) != size:
                converted = converted.resize((size[1], size[0]), image.Resampling.BILINEAR)
            pixels = np.asarray(converted, np.uint8)
    except (*_DAMAGE, image.DecompressionBombError) as error:
        raise InputError(
            f"{path} cannot be decoded: {error}", hint="replace or remove the picture"
        ) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
