"""From clips to a data set: labels that fit, whole clips per split, going on after a stop."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from tests.core.training.toys import Recorder
from tests.tidl.recording.clips import Scene, frames, write_clip

from nibblefit.cli import main
from nibblefit.errors import InputError, WorkspaceError
from nibblefit_tidl.recording.building import build, clips_in
from nibblefit_tidl.recording.compositing import Variation, compose
from nibblefit_tidl.recording.labelling import box_of, find_object
from nibblefit_tidl.recording.settings import RecordingSettings, settings_from

pytest.importorskip("av", reason="extra 'video' is not installed")
pytest.importorskip("scipy", reason="extra 'video' is not installed")

SETTINGS = RecordingSettings(rate=4, copies=1, validation=0.34)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips of cups, two of boxes, a second each."""
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        write_clip(folder / "cup" / f"turn{number}.mp4", Scene(), seed=number)
    for number in range(2):
        scene = Scene(shape="rectangle", colour=(40, 40, 160))
        write_clip(folder / "box" / f"turn{number}.avi", scene, seed=number)
    return folder


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def test_a_data_set_is_made(clips: Path, tmp_path: Path) -> None:
    """Every sample has picture, box and mask that agree; clips do not cross the splits."""
    made = build(clips, tmp_path / "set", SETTINGS, Recorder())
    assert made.classes == ("box", "cup")
    assert made.frames == {"box": 8, "cup": 12}
    assert made.counts == {("box", "train"): 8, ("box", "val"): 8,
                           ("cup", "train"): 16, ("cup", "val"): 8}  # fmt: skip
    lists = {
        split: (tmp_path / f"set/ImageSets/Main/{split}.txt").read_text().split()
        for split in ("train", "val")
    }
    assert {name.rsplit("_", 1)[0][:9] for name in lists["train"]}.isdisjoint(
        {name.rsplit("_", 1)[0][:9] for name in lists["val"]}
    )
    for name in (*lists["train"], *lists["val"]):
        root = ET.parse(tmp_path / f"set/Annotations/{name}.xml").getroot()
        bounds = [int(root.findtext(f"object/bndbox/{key}", "0"))
                  for key in ("xmin", "ymin", "xmax", "ymax")]  # fmt: skip
        with Image.open(tmp_path / f"set/SegmentationClass/{name}.png") as opened:
            mask = np.asarray(opened)
        left, top, right, bottom = box_of(mask > 0)
        assert bounds == [left + 1, top + 1, right, bottom]
        assert set(np.unique(mask)) == {0, 1 if name.startswith("box") else 2}
        with Image.open(tmp_path / f"set/JPEGImages/{name}.jpg") as picture:
            assert picture.size == (160, 120)
    with Image.open(made.contact_sheet) as sheet:
        assert sheet.size[0] == 8 * 160


def test_a_stopped_run_goes_on(clips: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Interrupted after two clips and started again, it ends with the same bytes, doing less."""
    build(clips, tmp_path / "whole", SETTINGS, Recorder())
    from nibblefit_tidl.recording import building

    real, seen = building.read_frames, []

    def stop_at_third(clip: Path, rate: float) -> Any:
        seen.append(clip)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(clip, rate)

    monkeypatch.setattr(building, "read_frames", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        build(clips, tmp_path / "cut", SETTINGS, Recorder())
    assert not (tmp_path / "cut").exists()
    build(clips, tmp_path / "cut", SETTINGS, Recorder())
    assert len(seen) == 3 + 3
    assert _digest(tmp_path / "cut") == _digest(tmp_path / "whole")


def test_other_settings_start_anew(clips: Path, tmp_path: Path) -> None:
    """A draft of other settings is not mixed in."""
    draft = tmp_path / "set.part"
    draft.mkdir()
    (draft / "settings.json").write_text(json.dumps({"settings": {}, "clips": []}))
    (draft / "stale.txt").write_text("old")
    build(clips, tmp_path / "set", SETTINGS, Recorder())
    assert not (tmp_path / "set/stale.txt").exists()


def test_composed_objects_stay_whole_and_their_labels_fit() -> None:
    """Over any background the mask is the object: its pixels are the object's, the rest is not."""
    picture, truth = next(frames(Scene(noise=0.0, falloff=0.0), 1))
    label = find_object(picture)
    assert label is not None
    backgrounds = [np.zeros((50, 60, 3), np.uint8)] * 2
    plain = Variation(light=(1.0, 1.0), contrast=0.0)
    for seed in range(20):
        made = compose(picture, label, backgrounds, plain, np.random.default_rng(seed))
        assert made.box == box_of(made.mask)
        bright = made.picture.max(axis=-1) > 85
        overlap = (bright & made.mask).sum() / (bright | made.mask).sum()
        assert overlap > 0.9
        assert 0.2 * truth.sum() < made.mask.sum() < 2.4 * truth.sum()


@pytest.mark.parametrize(("share", "judged"), [(0.0, 0), (0.1, 1), (0.34, 1), (0.66, 2), (0.99, 2)])
def test_whole_clips_validate(clips: Path, share: float, judged: int) -> None:
    """Of three clips at least one and never all, unless the share is zero."""
    found = clips_in(clips, RecordingSettings(validation=share))
    assert sum(clip.split == "val" for clip in found if clip.label == "cup") == judged


def test_what_cannot_become_a_data_set_is_refused(tmp_path: Path) -> None:
    """Each wrong input gives one explained error."""
    with pytest.raises(InputError, match="is no folder"):
        clips_in(tmp_path / "gone", SETTINGS)
    with pytest.raises(InputError, match="has no folders"):
        clips_in(tmp_path, SETTINGS)
    (tmp_path / "cup").mkdir()
    with pytest.raises(InputError, match="holds no clip"):
        clips_in(tmp_path, SETTINGS)
    (tmp_path / "cup" / "a.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match="cannot be read as a video"):
        build(tmp_path, tmp_path.parent / "out1", SETTINGS, Recorder())
    write_clip(tmp_path / "cup" / "a.mp4", Scene(colour=(90, 150, 110), size=1e-9))
    with pytest.raises(InputError, match="no object stands out"):
        build(tmp_path, tmp_path.parent / "out2", SETTINGS, Recorder())
    (tmp_path / "cup" / "a.avi").write_bytes(b"")
    with pytest.raises(InputError, match="both be called cup_a"):
        clips_in(tmp_path, SETTINGS)
    with pytest.raises(WorkspaceError, match="exists already"):
        build(tmp_path, tmp_path, SETTINGS, Recorder())
    with pytest.raises(InputError, match="copies = -1"):
        settings_from(copies=-1)


def test_the_command_prints_what_it_made(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table with the contact sheet, and as JSON; a bad range is one line, exit code 2."""
    options = ["--rate", "3", "--copies", "1", "--validation", "0.34"]
    words = ["tidl", "record", str(clips), *options, "--out"]
    assert main([*words, str(tmp_path / "a"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main([*words, str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert "look at" in shown
    assert "cup" in shown
    assert "cup" in json.dumps(found)
    assert main([*words, str(tmp_path / "c"), "--light", "2,1"]) == 2
    assert "--light 2,1 is no range" in capsys.readouterr().err
