"""Random numbers as a function of what they are for: no state, any order, any process."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

#: Increment and multipliers of SplitMix64.
#: Source: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014.
_INCREMENT = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD = 0xFFFFFFFFFFFFFFFF


def mix(words: Words) -> Words:
    """Return a hash of every 64-bit word (the output function of SplitMix64)."""
    with np.errstate(over="ignore"):
        words = words + np.uint64(_INCREMENT)
        words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
    return words ^ (words >> np.uint64(31))


class Draws:
    """Random numbers of some samples in one epoch.

    Args:
        seed, epoch: Any integers.
        samples: Sample numbers; equal numbers get equal draws.
    """

    def __init__(self, seed: int, epoch: int, samples: npt.NDArray[np.int64]) -> None:
        start = mix(np.array([seed & _WORD], np.uint64))
        start = mix(start ^ np.array([epoch & _WORD], np.uint64))
        self._keys = mix(start ^ samples.astype(np.uint64))

    def uniform(self, stream: int) -> npt.NDArray[np.float64]:
        """Return one number in [0, 1) per sample; another `stream` gives independent ones."""
        return _unit(mix(self._keys ^ mix(np.array([stream], np.uint64))))

    def normal(self, stream: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """Return standard normal numbers, (samples, *shape), by Box and Muller's transform."""
        size = math.prod(shape)
        half = (size + 1) // 2
        counters = mix(np.arange(2 * half, dtype=np.uint64) + np.uint64(stream << 32))
        bits = mix(self._keys[:, None] ^ counters[None, :])
        # 1 - u lies in (0, 1], where the logarithm is finite.
        radius = np.sqrt(-2.0 * np.log(1.0 - _unit(bits[:, :half])))
        angle = 2.0 * np.pi * _unit(bits[:, half:])
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        numbers: npt.NDArray[np.float32] = both[:, :size].astype(np.float32)
        return numbers.reshape(len(self._keys), *shape)


def _unit(bits: Words) -> npt.NDArray[np.float64]:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
