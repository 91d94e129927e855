"""Making the data set: clip by clip, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.errors import InputError, WorkspaceError
from nibblefit.run import Reporter
from nibblefit_tidl.recording import voc
from nibblefit_tidl.recording.compositing import compose
from nibblefit_tidl.recording.contact_sheet import write_contact_sheet
from nibblefit_tidl.recording.frames import Frame, Picture, clips_of, read_frames
from nibblefit_tidl.recording.labelling import Label, find_object
from nibblefit_tidl.recording.settings import RecordingSettings
from nibblefit_tidl.recording.splitting import validation_clips

TRAIN, VALIDATION = "train", "val"


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip and its part in the data set."""

    path: Path
    label: str
    number: int
    split: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was made.

    Attributes:
        classes: Class names in the order of their numbers.
        counts: (class, split) → samples written.
        frames: Class → frames taken.
        skipped: Frames without an object, as ``clip: frames 3, 4``.
        contact_sheet: The picture to look at.
    """

    classes: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]
    frames: Mapping[str, int]
    skipped: tuple[str, ...]
    contact_sheet: Path


def build(
    source: Path, target: Path, settings: RecordingSettings, reporter: Reporter,
    backgrounds: Sequence[Picture] = (),
) -> Recorded:  # fmt: skip
    """Turn a folder of clips (one folder per class) into a data set in VOC's layout.

    Args:
        source: Holds one folder of clips per class.
        target: Folder to make; must not exist. Until it is complete it is called ``NAME.part``.
        settings: How.
        reporter: Progress.
        backgrounds: Pictures behind composed objects; half of them for each split.

    Raises:
        InputError: No classes, no clips, nothing decodable, or no object in a whole clip.
        WorkspaceError: The target exists.
    """
    if target.exists():
        raise WorkspaceError(f"{target} exists already", hint="choose another folder, or move it")
    clips = clips_in(source, settings)
    draft = target.with_name(target.name + ".part")
    _open_draft(draft, source, settings)
    with reporter.progress("recording", len(clips)) as bar:
        for clip in clips:
            record = draft / "clips" / f"{clip.label}_{clip.path.name}.json"
            if not record.exists():
                _write_json(record, _record(clip, draft, settings, backgrounds))
            bar.advance()
    result = _finish(draft, clips, reporter)
    os.replace(draft, target)  # noqa: PTH105 - the atomic call, named
    return Recorded(result.classes, result.counts, result.frames, result.skipped,
                    target / result.contact_sheet.name)  # fmt: skip


def clips_in(source: Path, settings: RecordingSettings) -> tuple[Clip, ...]:
    """Return every clip with its class and split."""
    if not source.is_dir():
        raise InputError(f"{source} is no folder", hint="give a folder with one folder per class")
    folders = sorted(path for path in source.iterdir() if path.is_dir())
    if not folders:
        raise InputError(
            f"{source} has no folders in it", hint="put the clips of each class in a folder"
        )
    found: list[Clip] = []
    for number, folder in enumerate(folders, start=1):
        clips = clips_of(folder)
        judged = validation_clips(clips, settings.validation, settings.seed)
        found += [Clip(clip, folder.name, number, VALIDATION if clip in judged else TRAIN)
                  for clip in clips]  # fmt: skip
    names = [f"{clip.label}_{clip.path.stem}" for clip in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"two clips would both be called {twice[0]}", hint="rename one of the clips"
        )
    return tuple(found)


def _record(
    clip: Clip, draft: Path, settings: RecordingSettings, backgrounds: Sequence[Picture]
) -> dict[str, Any]:
    # No background is seen in both splits.
    own = backgrounds[1 if clip.split == VALIDATION else 0 :: 2]
    samples: list[list[Any]] = []
    skipped: list[int] = []
    taken = 0
    for frame in read_frames(clip.path, settings.rate):
        taken += 1
        label = find_object(frame.picture)
        if label is None:
            skipped.append(frame.number)
            continue
        samples += _samples(clip, frame, label, draft, settings, own)
    if not samples:
        raise InputError(
            f"{clip.path}: no object stands out in any of its {taken} frames",
            hint="record on a uniform background whose colour the object does not have, with even "
            "light; the frame's border must show background only",
        )
    return {"samples": samples, "skipped": skipped, "frames": taken}


def _samples(  # noqa: PLR0917 - a frame, its object, and what to do with them
    clip: Clip, frame: Frame, label: Label, draft: Path, settings: RecordingSettings,
    backgrounds: Sequence[Picture],
) -> list[list[Any]]:  # fmt: skip
    """Write a frame and what is composed of it; return the names and boxes."""
    facts = (clip.label, clip.number, label.touches_border)
    name = f"{clip.label}_{clip.path.stem}_{frame.number:05d}"
    voc.write_sample(draft, name, voc.Sample(frame.picture, label.mask, label.box, *facts))
    made: list[list[Any]] = [[name, label.box]]
    seed = [settings.seed, zlib.crc32(f"{clip.label}/{clip.path.name}".encode()), frame.number]
    generator = np.random.default_rng(seed)
    copies = settings.validation_copies if clip.split == VALIDATION else settings.copies
    for copy in range(copies):
        new = compose(frame.picture, label, backgrounds, settings.variation, generator)
        sample = voc.Sample(new.picture, new.mask, new.box, *facts)
        voc.write_sample(draft, f"{name}_{copy:02d}", sample)
        made.append([f"{name}_{copy:02d}", new.box])
    return made


def _finish(draft: Path, clips: Sequence[Clip], reporter: Reporter) -> Recorded:
    lists: dict[str, list[str]] = {TRAIN: [], VALIDATION: []}
    counts: dict[tuple[str, str], int] = {}
    frames: dict[str, int] = {}
    boxes: list[tuple[str, voc.Box]] = []
    skipped: list[str] = []
    for clip in clips:
        record = json.loads((draft / "clips" / f"{clip.label}_{clip.path.name}.json").read_text())
        lists[clip.split] += [name for name, _ in record["samples"]]
        boxes += [(name, tuple(box)) for name, box in record["samples"]]
        key = (clip.label, clip.split)
        counts[key] = counts.get(key, 0) + len(record["samples"])
        frames[clip.label] = frames.get(clip.label, 0) + record["frames"]
        if record["skipped"]:
            numbers = ", ".join(map(str, record["skipped"]))
            skipped.append(f"{clip.label}/{clip.path.name}: frames {numbers}")
    for split, names in lists.items():
        voc.write_list(draft, split, names)
    classes = tuple(dict.fromkeys(clip.label for clip in clips))
    (draft / "labels.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    reporter.say("drawing the contact sheet")
    sheet = draft / "contact_sheet.png"
    write_contact_sheet(draft, boxes, sheet)
    return Recorded(classes, counts, frames, tuple(skipped), sheet)


def _open_draft(draft: Path, source: Path, settings: RecordingSettings) -> None:
    """Go on with a draft of the same clips and settings; throw another one away."""
    clips = sorted(
        (str(path.relative_to(source)), path.stat().st_size)
        for path in source.rglob("*") if path.is_file()
    )  # fmt: skip
    facts = json.loads(json.dumps({"settings": settings.model_dump(mode="json"), "clips": clips}))
    key = draft / "settings.json"
    if draft.exists() and not (key.exists() and json.loads(key.read_text()) == facts):
        shutil.rmtree(draft)
    (draft / "clips").mkdir(parents=True, exist_ok=True)
    _write_json(key, facts)


def _write_json(path: Path, value: Any) -> None:
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(value), encoding="utf-8")
    os.replace(draft, path)  # noqa: PTH105 - as above
