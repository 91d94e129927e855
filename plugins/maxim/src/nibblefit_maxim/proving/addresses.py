"""Addresses of values in data memory, straight from the hardware's rules.

Nothing here is shared with the planner's arithmetic. Sources: ai8x-synthesis commit ab4f4c0, README
("Data Memory", "Multi-pass", "Element-Wise") and `izer/backend/max7800x.py`.

An address is one number: ((instance · words + word) · 4 + byte).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.parts import PROCESSORS, Part

Addresses = npt.NDArray[np.int64]
#: Data-memory instances, and processors at each.
INSTANCES = 16
_LANES = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor is written or read.

    Attributes:
        processors: Map; channel c of a pass lies at its c-th set bit.
        channels, pixels: Size of one operand.
        offset: Bytes from the start of each instance.
        stride: Words from one word of this tensor to its next; 1 without gaps.
        wide: Four words per four channels, 32 bits per value.
        is_chw: Four positions of one channel per word.
    """

    processors: int
    channels: int
    pixels: int
    offset: int
    stride: int = 1
    wide: bool = False
    is_chw: bool = False

    @property
    def positions(self) -> tuple[int, ...]:
        """Processors of the map, ascending."""
        return tuple(p for p in range(PROCESSORS) if self.processors >> p & 1)

    @property
    def many(self) -> int:
        """Passes."""
        return -(-self.channels // PROCESSORS)

    def words(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return (instances, words within an instance) that the tensor occupies."""
        instances = np.unique(np.array(self.positions, dtype=np.int64) // _LANES)
        if self.is_chw:
            count, stride = -(-self.pixels // _LANES), 1
        else:
            count, stride = self.pixels * self.many * (_LANES if self.wide else 1), self.stride
        return instances, self.offset // 4 + np.arange(count, dtype=np.int64) * stride

    def end(self) -> int:
        """Return the first byte behind the tensor in each instance."""
        return int(self.words()[1][-1] + 1) * 4 if self.pixels else self.offset

    def addresses(self, part: Part) -> Addresses:
        """Return the byte address of every value, (channels, pixels); wide ones have four,
        (channels, pixels, 4).
        """
        each = len(self.positions)
        channel = np.arange(self.channels, dtype=np.int64)[:, None]
        pixel = np.arange(self.pixels, dtype=np.int64)[None, :]
        processor = np.array(self.positions, dtype=np.int64)[channel % each]
        instance, lane = processor // _LANES, processor % _LANES
        depth = part.instance_bytes // 4
        if self.is_chw:
            word, byte = pixel // _LANES + 0 * channel, pixel % _LANES + 0 * channel
        elif self.wide:
            # Each of the four words holds one channel's 32 bits.
            word = _LANES * (pixel * self.many + channel // each) + lane
            word, byte = word[..., None], np.arange(_LANES, dtype=np.int64)
            instance = instance[..., None]
        else:
            word, byte = pixel * self.many + channel // each, lane
        place = self.offset // 4 + word * self.stride
        found: Addresses = (instance * depth + place) * _LANES + byte
        return found
