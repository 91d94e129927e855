"""Objects on plain backgrounds are found where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tidl.recording.clips import Mask, Scene, frames, write_clip

from nibblefit_tidl.recording.frames import read_frames
from nibblefit_tidl.recording.labelling import box_of, find_object

pytest.importorskip("scipy", reason="extra 'video' is not installed")

SCENES = {
    "red on green": Scene(),
    "rectangle": Scene(shape="rectangle"),
    "dark on light": Scene(colour=(40, 40, 40), background=(220, 220, 225), shape="rectangle"),
    "light on dark": Scene(colour=(210, 200, 190), background=(50, 50, 60), falloff=15),
    "same brightness": Scene(colour=(60, 120, 200), background=(160, 110, 60)),
    "small": Scene(size=0.08),
    "large": Scene(size=0.45),
    "noisy": Scene(noise=9.0),
    "uneven light": Scene(falloff=45.0),
}


def _iou(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Return intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, wide) * max(0, tall)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("name", SCENES)
def test_boxes_of_synthetic_frames(name: str) -> None:
    """Every frame's box overlaps the true one by at least 0.9, its mask by 0.9 too."""
    for picture, truth in frames(SCENES[name], 8):
        found = find_object(picture)
        assert found is not None
        assert _iou(found.box, box_of(truth)) >= 0.9
        assert (found.mask & truth).sum() / (found.mask | truth).sum() >= 0.9


@pytest.mark.parametrize("name", ["red on green", "dark on light", "same brightness", "noisy"])
def test_boxes_of_a_decoded_clip(name: str, tmp_path: Path) -> None:
    """Compression does not move the boxes: at least 0.9 in every frame of a clip."""
    pytest.importorskip("av", reason="extra 'video' is not installed")
    write_clip(tmp_path / "clip.mp4", SCENES[name])
    truths: list[Mask] = [mask for _, mask in frames(SCENES[name], 12)]
    decoded = list(read_frames(tmp_path / "clip.mp4", 12))
    assert len(decoded) == 12
    for frame, truth in zip(decoded, truths, strict=True):
        found = find_object(frame.picture)
        assert found is not None
        assert _iou(found.box, box_of(truth)) >= 0.9


def test_an_empty_background_has_no_object() -> None:
    """Noise, falling light and nothing else give no label."""
    scene = Scene(colour=(90, 150, 110), size=1e-9)
    for picture, _ in frames(scene, 4):
        assert find_object(picture) is None


def test_an_object_at_the_border_is_marked() -> None:
    """An object that leaves the frame is labelled and marked as cut off."""
    picture = np.full((60, 80, 3), 200, np.uint8)
    picture[20:40, 60:80] = (20, 30, 160)
    found = find_object(picture)
    assert found is not None
    assert found.box == (60, 20, 80, 40)
    assert found.touches_border
