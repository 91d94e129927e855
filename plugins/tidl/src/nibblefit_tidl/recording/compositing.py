"""Many pictures out of one labelled frame: another size, place, light and background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nibblefit_tidl.recording.frames import Picture
from nibblefit_tidl.recording.labelling import Label, Mask, box_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variation:
    """How far a composed picture may differ from its frame.

    Attributes:
        scale: Smallest and largest size of the object, as a factor.
        light: Smallest and largest brightness, as a factor.
        contrast: Largest change of contrast and of each colour channel, as a share.
        flip: Whether the object may be mirrored.
    """

    scale: tuple[float, float] = (0.5, 1.5)
    light: tuple[float, float] = (0.6, 1.4)
    contrast: float = 0.15
    flip: bool = True


@dataclass(frozen=True, slots=True)
class Composed:
    """A composed picture with the object's mask and box, as in `Label`."""

    picture: Picture
    mask: Mask
    box: tuple[int, int, int, int]


def compose(
    picture: Picture, label: Label, backgrounds: Sequence[Picture], variation: Variation,
    generator: np.random.Generator,
) -> Composed:  # fmt: skip
    """Put the object of a frame somewhere else, in another light.

    The object stays whole: it is scaled to fit the frame, and shifted within it.

    Args:
        picture: The frame, RGB, shape (height, width, 3).
        label: Its object.
        backgrounds: Pictures of any size to cut from; without any, textures are drawn.
        variation: How far to go.
        generator: Decides everything random.
    """
    height, width = label.mask.shape
    left, top, right, bottom = label.box
    tall, wide = bottom - top, right - left
    most = min(height / tall, width / wide, variation.scale[1])
    factor = generator.uniform(min(variation.scale[0], most), most)
    size = (max(1, min(height, round(tall * factor))), max(1, min(width, round(wide * factor))))
    flip = variation.flip and bool(generator.integers(2))
    cut, alpha = _cut(picture, label, size, flip=flip)
    y = int(generator.integers(0, height - size[0] + 1))
    x = int(generator.integers(0, width - size[1] + 1))
    scene = _background(backgrounds, (height, width), generator).astype(np.float64)
    lit = _lit(cut, variation, generator)
    view = scene[y : y + size[0], x : x + size[1]]
    view[...] = alpha[..., None] * lit + (1 - alpha[..., None]) * view
    mask = np.zeros((height, width), bool)
    mask[y : y + size[0], x : x + size[1]] = alpha >= 0.5
    if not mask.any():
        # An object of a pixel or two whose edge is soft everywhere.
        mask[y, x] = True
    final = np.clip(np.rint(_lit(scene, variation, generator)), 0, 255).astype(np.uint8)
    return Composed(final, mask, box_of(mask))


def _cut(
    picture: Picture, label: Label, size: tuple[int, int], *, flip: bool
) -> tuple[Floats, Floats]:
    """Return the object's pixels and how opaque each is, resized to (height, width)."""
    from PIL import Image

    left, top, right, bottom = label.box
    wide_tall = (size[1], size[0])
    colours = Image.fromarray(picture[top:bottom, left:right]).resize(
        wide_tall, Image.Resampling.BILINEAR
    )
    opaque = Image.fromarray(label.mask[top:bottom, left:right].astype(np.uint8) * 255).resize(
        wide_tall, Image.Resampling.BILINEAR
    )
    found = np.asarray(colours, np.float64), np.asarray(opaque, np.float64) / 255
    return (found[0][:, ::-1], found[1][:, ::-1]) if flip else found


def _lit(pixels: Floats, variation: Variation, generator: np.random.Generator) -> Floats:
    """Change brightness, contrast and colour; half of it for the object, half for the scene."""
    low, high = variation.light
    gain = generator.uniform(low, high) ** 0.5
    contrast = 1 + generator.uniform(-variation.contrast, variation.contrast)
    tint = 1 + generator.uniform(-variation.contrast, variation.contrast, 3) / 2
    middle = pixels.mean(axis=(0, 1), keepdims=True)
    lit: Floats = ((pixels - middle) * contrast + middle) * gain * tint
    return lit


def _background(
    backgrounds: Sequence[Picture], size: tuple[int, int], generator: np.random.Generator
) -> Picture:
    if not backgrounds:
        return _texture(size, generator)
    chosen = backgrounds[int(generator.integers(len(backgrounds)))]
    height, width = chosen.shape[:2]
    share = generator.uniform(0.5, 1.0)
    factor = min(height / size[0], width / size[1]) * share
    tall, wide = max(1, int(size[0] * factor)), max(1, int(size[1] * factor))
    y, x = generator.integers(0, height - tall + 1), generator.integers(0, width - wide + 1)
    return _resized(chosen[y : y + tall, x : x + wide], size)


def _texture(size: tuple[int, int], generator: np.random.Generator) -> Picture:
    """Draw soft patches on several scales: no two alike, none with an edge like an object's."""
    drawn = np.zeros((*size, 3))
    for cells in (2, 5, 16):
        coarse = generator.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        drawn += _resized(coarse, size) / cells
    drawn *= 255 / drawn.max()
    return drawn.astype(np.uint8)


def _resized(picture: Picture, size: tuple[int, int]) -> Picture:
    from PIL import Image

    smooth = Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.uint8)
