"""Where augmentation moves content: one set of moves per sample, for inputs and targets alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.data.augment_options import AugmentOptions
from nibblefit.data.random_bits import Draws

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moves:
    """Moves of one batch, in this order: flip, rotate and scale, shift.

    Attributes:
        size: Spatial size of the inputs.
        flips: (count,) whether the last axis is mirrored; None: nobody's is.
        turns: (count, 2, 2): from places in the result to places in the source, in units of half
            the picture, (x, y); None: nothing turns.
        shifts: (count, axes) whole pixels; None: nothing shifts.
    """

    size: tuple[int, ...]
    flips: npt.NDArray[np.bool_] | None
    turns: npt.NDArray[np.float32] | None
    shifts: npt.NDArray[np.int64] | None

    @staticmethod
    def drawn(options: AugmentOptions, draws: Draws, size: tuple[int, ...]) -> Moves:
        """Return the moves of a batch's samples."""
        flips = draws.uniform(0) < 0.5 if options.flip else None
        turns = _turns(options, draws, size) if options.rotate or options.scale else None
        shifts = None
        if options.shift:
            most = options.shift
            shifts = np.stack(
                [
                    np.floor(draws.uniform(3 + axis) * (2 * most + 1)).astype(np.int64) - most
                    for axis in range(len(size))
                ],
                axis=1,
            )
        return Moves(size, flips, turns, shifts)

    def apply(self, inputs: Tensor, *, nearest: bool = False) -> Tensor:
        """Return moved pictures (count, channels, *size); outside, the border is repeated.

        Args:
            inputs: The pictures, not changed.
            nearest: Take the nearest pixel where a turn falls between pixels, not a mean.
        """
        if self.flips is not None:
            inputs = torch.where(_column(self.flips, inputs), inputs.flip(-1), inputs)
        if self.turns is not None:
            matrices = torch.from_numpy(np.pad(self.turns, ((0, 0), (0, 0), (0, 1))))
            grid = functional.affine_grid(matrices, list(inputs.shape), align_corners=False)
            inputs = functional.grid_sample(
                inputs, grid, mode="nearest" if nearest else "bilinear", padding_mode="border",
                align_corners=False,
            )  # fmt: skip
        if self.shifts is not None:
            inputs = _shifted(inputs, self.shifts)
        return inputs

    def boxes(self, boxes: Floats, sample: int) -> Floats:
        """Return where boxes of one sample lie afterwards; not cut off at the border.

        Args:
            boxes: (count, 4): left, top, right, bottom in pixels.
            sample: Position in the batch.
        """
        height, width = self.size
        moved = boxes.copy()
        if self.flips is not None and self.flips[sample]:
            moved[:, [0, 2]] = width - boxes[:, [2, 0]]
        if self.turns is not None:
            moved = _turned(moved, np.linalg.inv(self.turns[sample]), height, width)
        if self.shifts is not None:
            down, across = self.shifts[sample]
            moved += np.array([across, down, across, down])
        return moved


def _turns(options: AugmentOptions, draws: Draws, size: tuple[int, ...]) -> npt.NDArray[np.float32]:
    angle = np.deg2rad(options.rotate) * (2 * draws.uniform(1) - 1)
    # Sampling positions shrink where content grows.
    zoom = 1.0 / (1.0 + options.scale * (2 * draws.uniform(2) - 1))
    height, width = size
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    # In units of half the picture: the ratio keeps angles right angles.
    rows = [[cosine, -sine * (height / width)], [sine * (width / height), cosine]]
    return np.asarray(rows).transpose(2, 0, 1).astype(np.float32)


def _turned(boxes: Floats, forward: npt.NDArray[Any], height: int, width: int) -> Floats:
    """Return the boxes around turned boxes."""
    half = np.array([width, height]) / 2
    xs, ys = boxes[:, [0, 2, 0, 2]], boxes[:, [1, 1, 3, 3]]
    corners = np.stack([xs, ys], axis=-1) / half - 1
    places = (corners @ forward.T.astype(np.float64) + 1) * half
    found: Floats = np.concatenate([places.min(axis=1), places.max(axis=1)], axis=1)
    return found


def _shifted(inputs: Tensor, shifts: npt.NDArray[np.int64]) -> Tensor:
    for number, axis in enumerate(range(2, inputs.ndim)):
        size = inputs.shape[axis]
        places = np.clip(np.arange(size)[None, :] - shifts[:, number, None], 0, size - 1)
        shape = [1] * inputs.ndim
        shape[0], shape[axis] = inputs.shape[0], size
        index = torch.from_numpy(places).reshape(shape).expand(inputs.shape)
        inputs = inputs.gather(axis, index)
    return inputs


def _column(values: npt.NDArray[Any], inputs: Tensor) -> Tensor:
    return torch.from_numpy(values).reshape(-1, *(1,) * (inputs.ndim - 1))
