"""Frames of a video clip (extra ``video``: PyAV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError, MissingExtraError

Picture = npt.NDArray[np.uint8]

#: Suffixes taken for clips.
SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame.

    Attributes:
        number: Position among the frames taken from the clip, from 0.
        seconds: Time in the clip.
        picture: RGB, shape (height, width, 3).
    """

    number: int
    seconds: float
    picture: Picture


def clips_of(folder: Path) -> tuple[Path, ...]:
    """Return the clips of a folder in the order of their names.

    Raises:
        InputError: The folder is missing or holds no clip.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", hint="give one folder of clips per class")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise InputError(
            f"{folder} holds no clip", hint="clips end in " + ", ".join(sorted(SUFFIXES))
        )
    return tuple(found)


def read_frames(clip: Path, rate: float) -> Iterator[Frame]:
    """Yield frames at about `rate` per second, in order; one frame is in memory at a time.

    A clip with fewer frames per second gives all of them. Times are compared exactly, so that the
    same clip always gives the same frames.

    Args:
        clip: The file.
        rate: Frames per second to take.

    Raises:
        MissingExtraError: PyAV is not installed.
        InputError: No video, or not one frame could be decoded.
    """
    try:
        import av
    except ImportError:
        raise MissingExtraError("reading clips", "video", distribution="nibblefit-tidl") from None
    interval, due, taken = 1 / Fraction(rate), Fraction(0), 0
    try:
        with av.open(str(clip)) as container:
            if not container.streams.video:
                raise InputError(f"{clip} has no video in it", hint="record it again")
            stream = container.streams.video[0]
            base = stream.time_base or Fraction(1, 25)
            for decoded in container.decode(stream):
                seconds = Fraction(decoded.pts or 0) * base
                if seconds < due:
                    continue
                due = max(due + interval, seconds)
                pixels = np.asarray(decoded.to_ndarray(format="rgb24"), np.uint8)
                yield Frame(taken, float(seconds), pixels)
                taken += 1
    except (av.FFmpegError, OSError) as error:
        if taken == 0:
            raise InputError(
                f"{clip} cannot be read as a video: {error}", hint="record or convert it again"
            ) from error
        # A recording that was cut off: what came before is good.
    if taken == 0:
        raise InputError(f"{clip} has no frame that can be decoded", hint="record it again")
