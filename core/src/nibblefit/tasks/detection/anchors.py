"""Anchors: the boxes that a detector's outputs are relative to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit.errors import RecipeError
from nibblefit.tasks.detection.options import DetectionOptions

Floats = npt.NDArray[np.float64]

#: Anchors per place → ratios beyond 1, where the recipe does not say (with two squares).
_RATIOS: dict[int, tuple[float, ...]] = {2: (), 4: (2.0, 0.5), 6: (2.0, 0.5, 3.0, 1 / 3)}
#: Smallest and largest scale, where the recipe does not say.
_SMALLEST, _LARGEST = 0.1, 0.9


@dataclass(frozen=True, slots=True)
class HeadShape:
    """One head of a detector.

    Attributes:
        height, width: Places.
        anchors: Anchors per place.
    """

    height: int
    width: int
    anchors: int


@dataclass(frozen=True, slots=True)
class HeadAnchors:
    """Where one head's anchors lie.

    Attributes:
        head: Places of the head.
        step: Pixels between places, (down, across).
        offset: Centre of the first anchor, in steps.
        sizes: Width and height of the anchors at each place, in pixels.
    """

    head: HeadShape
    step: tuple[float, float]
    offset: float
    sizes: Floats

    def listed(self) -> Floats:
        """Return (centre x, centre y, width, height) by row, column and anchor of a place."""
        y = (np.arange(self.head.height) + self.offset) * self.step[0]
        x = (np.arange(self.head.width) + self.offset) * self.step[1]
        grid = np.empty((self.head.height, self.head.width, len(self.sizes), 4))
        grid[..., 0], grid[..., 1] = x[None, :, None], y[:, None, None]
        grid[..., 2:] = self.sizes
        return grid.reshape(-1, 4)


def anchors_of(
    heads: Sequence[HeadShape], size: tuple[int, int], options: DetectionOptions
) -> Floats:
    """Return all anchors as (centre x, centre y, width, height) in pixels, shape (count, 4).

    Order: head by head, then rows, columns, anchors of a place: the order in which a head's
    channels-last output lists them.

    Args:
        heads: The detector's heads.
        size: (height, width) of the input in pixels.
        options: Sizes and ratios.

    Raises:
        RecipeError: Sizes or ratios do not fit the heads.
    """
    anchors = np.concatenate([one.listed() for one in layout(heads, size, options)])
    return _clipped(anchors, size) if options.clip else anchors


def layout(
    heads: Sequence[HeadShape], size: tuple[int, int], options: DetectionOptions
) -> tuple[HeadAnchors, ...]:
    """Return where the anchors of each head lie, before `clip`; otherwise as `anchors_of`.

    At each place the square comes first, then the larger square, then the ratios as given.
    """
    shapes = _anchor_shapes(heads, size, options)
    found = []
    for number, (head, boxes) in enumerate(zip(heads, shapes, strict=True)):
        step = (size[0] / head.height, size[1] / head.width)
        if options.steps:
            step = (options.steps[number], options.steps[number])
        found.append(HeadAnchors(head, step, options.offset, boxes))
    return tuple(found)


def _anchor_shapes(
    heads: Sequence[HeadShape], size: tuple[int, int], options: DetectionOptions
) -> list[Floats]:
    pairs = _sizes(len(heads), min(size), options)
    if options.steps and len(options.steps) != len(heads):
        raise _misfit("steps", len(options.steps), len(heads))
    found = []
    for number, (head, (small, large)) in enumerate(zip(heads, pairs, strict=True)):
        ratios = _ratios(head.anchors, number, len(heads), options)
        boxes = [(small, small)]
        if options.two_squares:
            boxes.append((np.sqrt(small * large),) * 2)
        boxes += [(small * np.sqrt(ratio), small / np.sqrt(ratio)) for ratio in ratios]
        if len(boxes) != head.anchors:
            raise RecipeError(
                f"head {number + 1} of the detector has {head.anchors} anchors per place, "
                f"task.options makes {len(boxes)}",
                hint="set task.options.ratios, one list per head: a square, the larger square "
                "(two_squares), and one anchor per ratio",
            )
        found.append(np.array(boxes, np.float64))
    return found


def _sizes(heads: int, side: int, options: DetectionOptions) -> list[tuple[float, float]]:
    if options.sizes:
        if len(options.sizes) != heads:
            raise _misfit("sizes", len(options.sizes), heads)
        return [(pair[0], pair[-1]) for pair in options.sizes]
    scales = options.scales or tuple(np.linspace(_SMALLEST, _LARGEST, heads + 1))
    if len(scales) != heads + 1:
        raise RecipeError(
            f"task.options.scales holds {len(scales)} numbers, the detector has {heads} heads",
            hint="give one number per head and one more",
        )
    return [(scales[i] * side, scales[i + 1] * side) for i in range(heads)]


def _ratios(anchors: int, number: int, heads: int, options: DetectionOptions) -> tuple[float, ...]:
    if not options.ratios:
        squares = 2 if options.two_squares else 1
        return _RATIOS.get(anchors + 2 - squares, ())
    if len(options.ratios) not in (1, heads):
        raise _misfit("ratios", len(options.ratios), heads)
    return options.ratios[number if len(options.ratios) > 1 else 0]


def _misfit(key: str, found: int, heads: int) -> RecipeError:
    return RecipeError(
        f"task.options.{key} has {found} entries, the detector has {heads} heads",
        hint="give one entry per head",
    )


def _clipped(anchors: Floats, size: tuple[int, int]) -> Floats:
    low = np.maximum(anchors[:, :2] - anchors[:, 2:] / 2, 0.0)
    high = np.minimum(anchors[:, :2] + anchors[:, 2:] / 2, np.array([size[1], size[0]], float))
    return np.concatenate([(low + high) / 2, high - low], axis=1)
