"""A contact sheet: samples with their boxes and masks, to look at before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nibblefit_tidl.recording import voc

if TYPE_CHECKING:
    from PIL import Image

#: Thumbnails: side in pixels, per row, at most.
SIDE, ROW, MOST = 160, 8, 64
_OUTLINE = (255, 64, 32)


def write_contact_sheet(root: Path, samples: Sequence[tuple[str, voc.Box]], file: Path) -> None:
    """Draw samples evenly chosen from all, boxes outlined, masks tinted.

    Args:
        root: The data set's folder, in VOC's layout.
        samples: (name, box) of every sample.
        file: Where to write the PNG.
    """
    from PIL import Image

    picks = np.unique(np.linspace(0, len(samples) - 1, min(MOST, len(samples))).astype(int))
    rows = -(-len(picks) // ROW)
    sheet = Image.new("RGB", (SIDE * min(ROW, len(picks)), SIDE * rows), (32, 32, 32))
    for place, pick in enumerate(picks):
        sheet.paste(_thumbnail(root, *samples[pick]), (place % ROW * SIDE, place // ROW * SIDE))
    draft = file.with_suffix(".part")
    sheet.save(draft, format="PNG")
    draft.replace(file)


def _thumbnail(root: Path, name: str, box: voc.Box) -> Image.Image:
    from PIL import Image, ImageDraw

    with Image.open(root / voc.PICTURES / f"{name}.jpg") as opened:
        picture = np.asarray(opened.convert("RGB"), np.float64)
    with Image.open(root / voc.MASKS / f"{name}.png") as opened:
        mask = np.asarray(opened) > 0
    picture[mask] = 0.7 * picture[mask] + 0.3 * np.array(_OUTLINE)
    drawn = Image.fromarray(picture.astype(np.uint8))
    line = max(1, max(drawn.size) // 120)
    ImageDraw.Draw(drawn).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=_OUTLINE,
                                    width=line)  # fmt: skip
    drawn.thumbnail((SIDE - 4, SIDE - 4))
    return drawn
