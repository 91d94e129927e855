"""Drawings of detections in a report."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.core.data.test_voc import annotate
from tests.core.tasks.test_detection import scenes

from nibblefit.ir.graph import frozen_mapping
from nibblefit.recipe import (
    DataSection,
    EvaluateSection,
    ModelSection,
    Recipe,
    TargetSection,
    TaskSection,
    TrainSection,
)
from nibblefit.report import build_report
from nibblefit.report.detections import detection_images, drawing
from nibblefit.results import Report
from nibblefit.runner import make_manager, run
from nibblefit.workspace import open_run

pytest.importorskip("matplotlib")
PILLOW = pytest.importorskip("PIL.Image")
RIGHT, WRONG, HARD = (0x56, 0xE3, 0x9F), (0xFF, 0x5D, 0x3B), (0xC9, 0xB6, 0xFF)


def drawn(
    scores: Sequence[float], verdict: int = 1, channels: int = 3, top: float = 20
) -> npt.NDArray[np.int64]:
    """Return the pixels of a drawing with one wanted and one found box per picture."""
    pictures = np.zeros((len(scores), channels, 60, 80), np.float32)
    wanted = [{"boxes": np.array([[5.0, 5, 25, 25]]), "labels": np.array([0])}] * len(scores)
    found = [[[40.0, top, 70, 50, 1, score, verdict]] for score in scores]
    png = drawing(pictures, wanted, found, ("cell", "plate"))
    return np.asarray(PILLOW.open(io.BytesIO(png)).convert("RGB")).astype(np.int64)


def count_of(pixels: npt.NDArray[np.int64], color: tuple[int, int, int]) -> int:
    """Return how many pixels have about a colour."""
    return int((np.abs(pixels - np.array(color)).max(axis=2) < 40).sum())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("verdict", "color"), [(1, RIGHT), (0, WRONG), (-1, HARD)])
def test_boxes_have_the_colour_of_their_verdict(
    channels: int, verdict: int, color: tuple[int, int, int]
) -> None:
    """In every picture, and once more in the legend; other colours only between letters."""
    three = drawn([0.9, 0.8, 0.7], verdict, channels)
    one = drawn([0.9, 0.1, 0.1], verdict, channels)
    assert count_of(three, color) > 2 * count_of(one, color) > 1000
    assert all(count_of(three, other) < 100 for other in {RIGHT, WRONG, HARD} - {color})


def test_boxes_to_find_are_drawn() -> None:
    """White on black in each of three pictures, without anything found."""
    black = drawn([0.0, 0.0, 0.0])[:-40]
    rows, columns = np.nonzero((black > 200).all(axis=2))
    inside = (rows // (len(black) // 2 + 1), columns // (black.shape[1] // 2 + 1))
    assert set(zip(*(part.tolist() for part in inside), strict=True)) >= {(0, 0), (0, 1), (1, 0)}


def test_unlikely_boxes_are_left_out() -> None:
    """Below the least confidence nothing is drawn, nor said in the legend."""
    assert count_of(drawn([0.29, 0.2, 0.1]), RIGHT) == 0


@pytest.mark.parametrize("top", [0.0, 20.0])
def test_labels_stay_in_the_picture(top: float) -> None:
    """At the upper edge they stand within their box: as much of them is seen as elsewhere."""
    middle, found = count_of(drawn([0.9]), RIGHT), count_of(drawn([0.9], top=top), RIGHT)
    assert found >= middle


def test_reports_without_boxes_have_no_drawing() -> None:
    """A classifier's report has no such section, and the data are not opened."""
    recipe = Recipe(model=ModelSection(source="x.onnx"), target=TargetSection(name="generic"))
    reports = {"evaluate": Report("float model")}
    assert detection_images(recipe, reports, lambda: make_manager(recipe)) == ()
    assert detection_images(recipe, {}, lambda: make_manager(recipe)) == ()


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the finished run of a detector that finds squares and bars."""
    pytest.importorskip("lightning")
    folder = tmp_path_factory.mktemp("scenes")
    pictures, targets = scenes(30)
    for part in ("JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    size = "<size><width>32</width><height>32</height><depth>1</depth></size>"
    for number, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
        gray = (picture[0].numpy() * 255).astype(np.uint8)
        PILLOW.fromarray(gray).save(folder / f"JPEGImages/p{number}.png")
        rows = zip(("square", "bar"), target["boxes"].astype(int).tolist(), strict=True)
        objects = [(name, 0, x + 1, y + 1, right, low) for name, (x, y, right, low) in rows]
        annotate(folder, f"p{number}", *objects, size=size)
    for name, numbers in {"train": range(24), "test": range(24, 30)}.items():
        text = "".join(f"p{number}\n" for number in numbers)
        (folder / f"ImageSets/Main/{name}.txt").write_text(text)
    recipe = Recipe(
        model=ModelSection(source="tests.core.tasks.test_detection:TinyDetector",
                           arguments={"classes": 2}),
        target=TargetSection(name="generic"),
        task=TaskSection(kind="detection", options={"scales": [0.2, 0.35, 0.6]}),
        data=DataSection(source="voc", path=str(folder), options={"gray": True}),
        train=TrainSection(epochs=40, batch_size=8, learning_rate=0.01),
        evaluate=EvaluateSection(floor=0.5),
    )  # fmt: skip
    run(recipe, folder / "run")
    return folder


@pytest.mark.extra("train")
def test_a_report_shows_what_integers_and_floats_found(detector: Path) -> None:
    """End to end: both are drawn and named; most squares and bars are found by the integers."""
    text = build_report(detector / "run").read_text("utf-8")
    headings = re.findall(r"<h3>(Detections of the [^<]+)</h3>", text)
    assert headings == ["Detections of the integer graph (evaluate)",
                        "Detections of the float model (evaluate_float)"]  # fmt: skip
    assert "The first 4 test pictures, as the integer graph of step evaluate saw them" in text
    assert len(re.findall(r'<img src="data:image/png;base64,', text)) == 2
    report = open_run(detector / "run").report("evaluate")
    found = report.arrays["detections"]
    assert len(found) == 4
    right = [row for rows in found for row in rows if row[6] == 1 and row[5] >= 0.3]
    assert len(right) > 4
    for left, top, across, down, label, _, _ in right:
        assert 0 <= left < across <= 32
        assert 0 <= top < down <= 32
        assert (across - left > 10) is (label == 0)  # bars are wider, and first by name


@pytest.mark.extra("train")
def test_a_run_without_integers_shows_the_floats(detector: Path, tmp_path: Path) -> None:
    """And data that are gone, or fewer, cost the pictures, not the report."""
    opened = open_run(detector / "run")
    recipe = opened.recipe
    (step,) = [name for name in opened.steps if name.startswith("evaluate_")]
    report = opened.report(step)
    (image,) = detection_images(recipe, {step: report}, lambda: make_manager(recipe))
    assert image.title == f"Detections of the float model ({step})"
    more = {"detections": report.arrays["detections"] * 2}
    changed = {step: replace(report, arrays=frozen_mapping(more))}
    with pytest.raises(Exception, match="fewer test pictures than when it was evaluated"):
        detection_images(recipe, changed, lambda: make_manager(recipe))
    hidden = detector.rename(detector.with_name("hidden"))
    try:
        text = build_report(hidden / "run", tmp_path / "r.html").read_text("utf-8")
    finally:
        hidden.rename(detector)
    assert "Detections of" not in text
    assert "hidden/run" not in text
    assert f"{detector} " in re.sub(r"<[^>]+>", " ", text)
