"""Calibration samples in batches of one size, and the first of them kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

#: Samples that go through the network together, however they came: the kernels that torch picks,
#: and so the last bits of sums, depend on it. Few enough that tensors stay small.
CHUNK = 4
#: The first samples, as many as this holds, are kept: biases are corrected on them.
KEPT_BYTES = 1 << 26


def chunks(
    batches: Iterable[npt.NDArray[np.float32]], size: int = CHUNK
) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the same samples in batches of `size`; the last one may be smaller."""
    kept: list[npt.NDArray[np.float32]] = []
    for batch in batches:
        rest = np.asarray(batch, np.float32)
        while len(rest):
            missing = size - sum(map(len, kept))
            kept.append(rest[:missing])
            rest = rest[missing:]
            if sum(map(len, kept)) == size:
                yield np.concatenate(kept) if len(kept) > 1 else kept[0]
                kept = []
    if kept:
        yield np.concatenate(kept)


@dataclass
class Kept:
    """The first chunks of samples, within `KEPT_BYTES`, one at least.

    Attributes:
        samples: The chunks.
    """

    samples: list[npt.NDArray[np.float32]] = field(default_factory=list)

    def add(self, chunk: npt.NDArray[np.float32]) -> bool:
        """Keep a chunk if there is room; return whether it was kept."""
        used = sum(one.nbytes for one in self.samples)
        if self.samples and used + chunk.nbytes > KEPT_BYTES:
            return False
        self.samples.append(chunk)
        return True
