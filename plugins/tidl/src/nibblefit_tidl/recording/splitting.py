"""Which clips train and which validate: whole clips, since frames of one clip are alike."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path


def validation_clips(clips: Sequence[Path], share: float, seed: int) -> frozenset[Path]:
    """Return the clips of one class that validate.

    At least one if there are two or more and the share is not zero; never all. Which ones depends
    on their names and the seed alone.
    """
    count = min(len(clips) - 1, max(1, round(share * len(clips)))) if share > 0 else 0
    ranked = sorted(clips, key=lambda clip: (zlib.crc32(f"{seed}/{clip.name}".encode()), clip.name))
    return frozenset(ranked[: max(0, count)])
