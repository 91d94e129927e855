"""Weights that are smaller than the hardware's kernel: where they lie among zeros.

A 2×2 kernel runs as a 3×3 kernel with five zeros, an unpadded tap row as a padded one, a
per-channel factor as a diagonal. What is trained and quantized are the stored weights; the zeros
are added afterwards, so they cost weight memory and never change a scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from nibblefit.ir.graph import Shape


@dataclass(frozen=True, slots=True)
class Embedding:
    """Stored weights within the hardware's.

    Attributes:
        stored: Shape in which the stored weights are read; the same number of values.
        shape: Shape of the hardware's weights.
        begin: First index of the stored weights along each axis.
        step: Distance of stored neighbours along each axis.
        is_diagonal: `stored` is (channels, *taps) and lies where output equals input channel.
        is_flat: The result has two axes only, (out, everything else): linear layers.
    """

    stored: Shape
    shape: Shape
    begin: tuple[int, ...]
    step: tuple[int, ...]
    is_diagonal: bool = False
    is_flat: bool = False

    @property
    def has_zeros(self) -> bool:
        """Whether some of the hardware's weights are no stored ones."""
        return prod(self.shape) > prod(self.stored)

    def fill(self, zeros: Any, weights: Any) -> Any:
        """Return the hardware's weights, made in place from an array or tensor of zeros.

        Args:
            zeros: Zeros of `shape`, a numpy array or a torch tensor; gradients pass through.
            weights: The stored weights, of the same kind.
        """
        zeros[self._where()] = weights.reshape(self.stored)
        return zeros.reshape(self.shape[0], -1) if self.is_flat else zeros

    def _where(self) -> tuple[Any, ...]:
        if self.is_diagonal:
            channels = list(range(self.stored[0]))
            return channels, channels
        ends = zip(self.begin, self.step, self.stored, strict=True)
        return tuple(slice(b, b + (n - 1) * s + 1, s) for b, s, n in ends)


@dataclass(frozen=True, slots=True)
class KernelPart:
    """The taps of a long kernel that one copy of the input serves.

    Attributes:
        taps: Slice of the stored kernel, per axis.
        places: Where they lie in the hardware's kernel, per axis.
    """

    taps: tuple[slice, ...]
    places: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class CopiedKernel:
    """A long kernel over shifted copies of the input, which lie side by side as channels.

    Attributes:
        stored: Shape of the stored weights, (out, in/groups, *taps).
        shape: Shape of the hardware's weights, (out, copies · in, *kernel).
        parts: One per copy.
        is_grouped: Every output reads its own input channel; the others' weights are zero.
    """

    stored: Shape
    shape: Shape
    parts: tuple[KernelPart, ...]
    is_grouped: bool = False

    @property
    def has_zeros(self) -> bool:
        """Whether some of the hardware's weights are no stored ones."""
        return prod(self.shape) > prod(self.stored)

    def fill(self, zeros: Any, weights: Any) -> Any:
        """Return the hardware's weights, made in place from an array or tensor of zeros.

        Args:
            zeros: Zeros of `shape`, a numpy array or a torch tensor; gradients pass through.
            weights: The stored weights, of the same kind.
        """
        weights = weights.reshape(self.stored)
        count = self.shape[1] // len(self.parts)
        everything = slice(None)
        for index, part in enumerate(self.parts):
            first = index * count
            if self.is_grouped:
                outputs, inputs = list(range(count)), list(range(first, first + count))
                zeros[(outputs, inputs, *part.places)] = weights[(everything, 0, *part.taps)]
            else:
                inputs_of_copy = slice(first, first + count)
                taps = weights[(everything, everything, *part.taps)]
                zeros[(everything, inputs_of_copy, *part.places)] = taps
        return zeros


def diagonal(channels: int, kernel: tuple[int, ...], *, is_grouped: bool) -> Embedding:
    """Return how one factor per channel becomes a convolution (or linear layer, without taps)."""
    ones = (1,) * len(kernel)
    if is_grouped:
        shape = (channels, 1, *kernel)
        return Embedding(shape, shape, (0,) * len(shape), (1,) * len(shape))
    shape = (channels, channels, *ones)
    return Embedding((channels, *ones), shape, (0,) * len(shape), (1,) * len(shape), True)


def placed_kernel(
    stored: Shape, kernel: tuple[int, ...], begin: tuple[int, ...], step: tuple[int, ...]
) -> Embedding | None:
    """Return how weights (a, b, *taps) lie in a larger kernel; None if they fill it."""
    if stored[2:] == kernel:
        return None
    return Embedding(stored, (*stored[:2], *kernel), (0, 0, *begin), (1, 1, *step))


def flattened(outputs: int, wanted: Shape, actual: Shape) -> Embedding | None:
    """Return how the weights of a linear layer skip positions that belong to no float tensor.

    Args:
        outputs: Features it makes.
        wanted: Shape of the float tensor that is flattened.
        actual: Shape of the data that the hardware flattens; larger at the end of each axis.
    """
    if wanted == actual:
        return None
    axes = len(actual) + 1
    return Embedding((outputs, *wanted), (outputs, *actual), (0,) * axes, (1,) * axes, is_flat=True)
