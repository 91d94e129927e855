"""Drawings of detections in a report."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import pytest

from nibblefit.report.detections import detection_images, drawing

pytest.importorskip("matplotlib")
PILLOW = pytest.importorskip("PIL.Image")


def drawn(scores: list[float], channels: int = 3, count: int = 3) -> npt.NDArray[np.int64]:
    """Return the pixels of a drawing with one wanted and one found box per picture."""
    pictures = np.zeros((count, channels, 60, 80), np.float32)
    wanted = [{"boxes": np.array([[5.0, 5, 25, 25]]), "labels": np.array([0])}] * count
    found = [(np.array([[40.0, 20, 70, 50]]), np.array([1]), np.array([s])) for s in scores]
    png = drawing(pictures, wanted, found, ("cell", "plate"))
    return np.asarray(PILLOW.open(io.BytesIO(png)).convert("RGB")).astype(np.int64)


def count_of(pixels: npt.NDArray[np.int64], color: tuple[int, int, int]) -> int:
    """Return how many pixels have about a colour."""
    return int((np.abs(pixels - np.array(color)).max(axis=2) < 40).sum())


@pytest.mark.parametrize("channels", [1, 3])
def test_wanted_and_found_boxes_are_drawn(channels: int) -> None:
    """Green for what is wanted, red for what is found, in every picture."""
    pixels = drawn([0.9, 0.8, 0.7], channels)
    assert count_of(pixels, (0x2C, 0xA0, 0x2C)) > 100
    one, all_three = (
        count_of(drawn([0.9, 0.1, 0.1]), (0xD6, 0x27, 0x28)),
        count_of(pixels, (0xD6, 0x27, 0x28)),
    )
    assert all_three > 2 * one > 0


def test_unlikely_boxes_are_left_out() -> None:
    """Below a confidence of one half nothing is red."""
    assert count_of(drawn([0.4, 0.3, 0.2]), (0xD6, 0x27, 0x28)) == 0


def test_other_tasks_have_no_drawing() -> None:
    """A classifier's report has no such section."""
    from tests.core.report.run_folders import float_graph

    from nibblefit.models import Model
    from nibblefit.recipe import ModelSection, Recipe, TargetSection
    from nibblefit.runner import make_manager

    recipe = Recipe(model=ModelSection(source="x.onnx"), target=TargetSection(name="generic"))
    model = Model(float_graph(), phase="float")
    assert detection_images(recipe, "float", model, lambda: make_manager(recipe)) == ()
