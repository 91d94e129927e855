"""Finding an object on a uniform background: its mask and its box.

The background is what the frame's border shows. A smooth surface is fitted to it (light falls off
towards the corners), and what differs from that surface by more than the border's own noise is the
object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nibblefit.errors import MissingExtraError
from nibblefit_tidl.recording.frames import Picture

if TYPE_CHECKING:
    from types import ModuleType

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

#: Share of height and width that the border takes on each side.
BORDER = 0.05
#: Rounds of fitting the background anew without what stands out of it.
ROUNDS = 3
#: An object differs by at least this many times the border's noise …
NOISE = 8.0
#: … and by at least this many steps of 255: compression alone makes differences of a few.
LEAST = 12.0
#: An edge lies where the difference falls below this share of what it is some pixels further in.
EDGE = 0.5
#: Objects take between these shares of the frame.
SMALLEST, LARGEST = 0.0005, 0.9


@dataclass(frozen=True, slots=True)
class Label:
    """An object in a frame.

    Attributes:
        mask: Shape (height, width), True on the object.
        box: Left, top, right, bottom in pixels; right and bottom are one past the object.
        touches_border: The object runs out of the frame, or is not alone on its background.
    """

    mask: Mask
    box: tuple[int, int, int, int]
    touches_border: bool


def find_object(picture: Picture) -> Label | None:
    """Return the largest object of a frame, None if nothing stands out.

    Args:
        picture: RGB, shape (height, width, 3).

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    ndimage = _ndimage()
    difference, noise = _difference(picture)
    threshold = max(LEAST, NOISE * noise, 0.35 * _otsu(difference))
    raw = difference > threshold
    size = max(3, round(min(picture.shape[:2]) / 100) | 1)
    solid = ndimage.binary_fill_holes(
        ndimage.binary_closing(_padded(raw, size), _disc(size))
    )[size:-size, size:-size]  # fmt: skip
    opened = ndimage.binary_opening(solid, _disc(3))
    if not opened.any():
        return None
    # Opening takes off tips; they come back, what hung on by a thread does not.
    whole = ndimage.binary_dilation(_largest(opened), np.ones((3, 3), bool)) & solid
    mask = _largest(_trimmed(whole, difference))
    if not SMALLEST <= mask.mean() <= LARGEST:
        return None
    box = box_of(mask)
    height, width = mask.shape
    touches = min(box[0], box[1]) == 0 or box[2] == width or box[3] == height
    return Label(mask, box, touches)


def _trimmed(mask: Mask, difference: Floats) -> Mask:
    """Take off the rim that a soft edge or compression adds: less than half as different."""
    ndimage = _ndimage()
    rim = mask & ~ndimage.binary_erosion(mask, _disc(5))
    nearby = ndimage.maximum_filter(np.where(mask, difference, 0.0), 9)
    trimmed: Mask = mask & ~(rim & (difference < EDGE * nearby))
    return trimmed


def _largest(mask: Mask) -> Mask:
    """Return the largest connected part of a mask that is not empty."""
    names, _ = _ndimage().label(mask)
    part: Mask = names == int(np.argmax(np.bincount(names[mask])))
    return part


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _difference(picture: Picture) -> tuple[Floats, float]:
    """Return each pixel's distance from the fitted background, and the border's typical one."""
    height, width = picture.shape[:2]
    values = picture.astype(np.float64)
    border = np.ones((height, width), bool)
    across, down = max(1, round(width * BORDER)), max(1, round(height * BORDER))
    border[down:-down, across:-across] = False
    terms = _smooth_terms(height, width)
    used = border
    for _ in range(ROUNDS):
        factors, *_rest = np.linalg.lstsq(terms[used], values[used], rcond=None)
        distance: Floats = np.sqrt(np.square(values - terms @ factors).sum(axis=-1))
        typical = float(np.median(distance[used]))
        used = border & (distance <= 4 * typical + 1)
    return distance, typical


def _smooth_terms(height: int, width: int) -> Floats:
    """Return the terms of a surface of second degree, shape (height, width, 6)."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _otsu(values: Floats) -> float:
    """Return the threshold that separates two groups of values best (Otsu 1979)."""
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * np.square(sums / below - (sums[-1] - sums) / above)
    return float(centres[int(np.nanargmax(between[:-1]))])


def _padded(mask: Mask, size: int) -> Mask:
    return np.pad(mask, size)


def _disc(size: int) -> Mask:
    reach = np.arange(size) - (size - 1) / 2
    disc: Mask = np.hypot(reach[:, None], reach[None, :]) <= size / 2
    return disc


def _ndimage() -> ModuleType:
    try:
        from scipy import ndimage
    except ImportError:
        raise MissingExtraError(
            "labelling frames", "video", distribution="nibblefit-tidl"
        ) from None
    module: ModuleType = ndimage
    return module
