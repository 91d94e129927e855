"""TensorRT's calibration cache: a text file with one scale for each tensor.

The first line names TensorRT's version and the calibration algorithm, the others hold ``name: hex``
with the bits of a float32 scale, ``amax / 127``, in big-endian hexadecimal without leading zeros.
TensorRT skips a file whose version or algorithm is not its own ("calibration table does not match
calibrator algorithm type"). Versions are major · 1000 + minor · 100 + patch
up to TensorRT 9 and major · 10000 + minor · 100 + patch from 10 on (tao_deploy, commit 2a988a0b,
always uses the former, so its files for TensorRT 10 are skipped).
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.workspace.storage import write_file
from nibblefit_tao.numerics import LEVELS

ALGORITHMS = ("EntropyCalibration2", "MinMaxCalibration", "EntropyCalibration", "LegacyCalibration")
_HEADER = re.compile(r"TRT-(\d{3,7})-(\w+)")
#: One older code path writes this in place of a header.
_OLD_HEADER = "1"
_FIRST_WIDE_MAJOR = 10
_EXPECTED = "a cache begins such as TRT-8502-EntropyCalibration2"
#: Scales below have less than eight digits, as has one that was cut off.
_LEAST = 2.0**-95


@dataclass(frozen=True, slots=True)
class CalibrationCache:
    """The contents of a cache.

    Attributes:
        header: The first line.
        scales: float32 scale by tensor, in file order; the largest magnitude is 127 times it.
    """

    header: str
    scales: Mapping[str, np.float32]

    def ranges(self) -> dict[str, float]:
        """Return the largest magnitude of every tensor."""
        return {name: float(scale) * LEVELS for name, scale in self.scales.items()}

    def text(self) -> str:
        """Return the file's text."""
        return "\n".join([self.header, *self._lines()]) + "\n"

    def digest(self) -> str:
        """Return what tells one calibration from another: of names and scales in any order."""
        return hashlib.sha256("\n".join(sorted(self._lines())).encode()).hexdigest()

    def _lines(self) -> Iterator[str]:
        for name, scale in self.scales.items():
            yield f"{name}: {_bits(scale):x}"


def header(version: str, algorithm: str = ALGORITHMS[0]) -> str:
    """Return the first line for a version of TensorRT, such as ``10.3.0``.

    trtexec and tao_deploy calibrate by EntropyCalibration2 and take no cache of another algorithm,
    however the scales were really found.

    Raises:
        InputError: No such version or algorithm.
    """
    parts = version.split(".")
    if not 2 <= len(parts) <= 4 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"'{version[:40]}' is no version of TensorRT",
                         hint="write it as 8.5.2 or 10.3.0")  # fmt: skip
    if algorithm not in ALGORITHMS:
        raise InputError(f"'{algorithm[:40]}' is no calibration algorithm of TensorRT",
                         hint=f"one of {', '.join(ALGORITHMS)}")  # fmt: skip
    major, minor, patch = (*map(int, parts[:3]), 0)[:3]
    factor = 10_000 if major >= _FIRST_WIDE_MAJOR else 1_000
    return f"TRT-{major * factor + minor * 100 + patch}-{algorithm}"


def from_ranges(ranges: Mapping[str, float], first_line: str) -> CalibrationCache:
    """Return the cache of largest magnitudes.

    Raises:
        InputError: A range is negative or not finite, or a name would break the file.
    """
    for name, largest in ranges.items():
        if not (np.isfinite(largest) and largest >= 0):
            raise InputError(f"the range of tensor '{name[:60]}' is {largest}",
                             hint="ranges are finite and at least 0; calibrate again")  # fmt: skip
        if not name.strip() or "\n" in name or "\r" in name or not _encodes(name):
            raise InputError(f"a tensor is called {name[:60]!r}, which a cache cannot hold",
                             hint="name tensors by one line of text")  # fmt: skip
    scales = {name: np.float32(largest / LEVELS) for name, largest in ranges.items()}
    return CalibrationCache(first_line, frozen_mapping(scales))


def read_cache(path: Path) -> CalibrationCache:
    """Read a cache.

    Raises:
        InputError: The file is no calibration cache, or is damaged; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the calibration cache {path} cannot be read: {error.strerror}",
                         hint="check the path") from None  # fmt: skip
    except UnicodeDecodeError:
        raise InputError(f"{path} is no calibration cache: it is no text",
                         hint=_EXPECTED) from None  # fmt: skip
    # Not splitlines, which also ends lines at characters that a name may hold.
    first, *rest = (line.removesuffix("\r") for line in text.split("\n"))
    if first != _OLD_HEADER and not _HEADER.fullmatch(first):
        raise InputError(
            f"{path}, line 1: {first[:60]!r} is no header of a calibration cache",
            hint=_EXPECTED,
        )
    scales = _entries(path, rest)
    if not scales:
        raise InputError(f"{path} holds no tensor", hint="the file was cut off; copy it again")
    return CalibrationCache(first, frozen_mapping(scales))


def write_cache(cache: CalibrationCache, path: Path) -> None:
    """Write a cache."""
    write_file(path, cache.text().encode())


def _entries(path: Path, lines: Sequence[str]) -> dict[str, np.float32]:
    """Return the scales; `lines` ends in an empty one unless the file stops within a line."""
    found: dict[str, np.float32] = {}
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        # Names may hold colons.
        name, _, digits = line.rpartition(": ")
        digits = digits.rstrip(" ")
        if not name.strip() or not re.fullmatch(r"[0-9a-fA-F]{1,8}", digits):
            raise InputError(f"{path}, line {number}: expected 'tensor: scale in hexadecimal', "
                             f"found {line[:60]!r}", hint="the file is damaged")  # fmt: skip
        scale = np.float32(struct.unpack(">f", bytes.fromhex(digits.zfill(8)))[0])
        if not np.isfinite(scale) or np.signbit(scale):
            raise InputError(f"{path}, line {number}: the scale of {name[:60]!r} is {scale}",
                             hint="the file is damaged, or calibration failed")  # fmt: skip
        is_last = number == len(lines) + 1
        if is_last and 0 < scale < _LEAST:
            raise InputError(f"{path}, line {number}: the file ends within the scale of "
                             f"{name[:60]!r}", hint="copy it again")  # fmt: skip
        if name in found:
            raise InputError(f"{path}, line {number}: tensor {name[:60]!r} stands there twice",
                             hint="the file is damaged")  # fmt: skip
        found[name] = scale
    return found


def _bits(scale: np.float32) -> int:
    return int.from_bytes(struct.pack(">f", scale), "big")


def _encodes(name: str) -> bool:
    """Return whether a name has a form in UTF-8; surrogates have none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
