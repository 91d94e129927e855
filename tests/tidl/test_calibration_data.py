"""Calibration data of its own, through a whole run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.core.pipeline.calibrating import DARK, check_target, recipe, write_pictures

from nibblefit.runner import run


@pytest.mark.extra("train", "image")
@pytest.mark.parametrize("target", ["tidl", "tidl-classic"])
def test_a_folder_of_pictures_calibrates(tmp_path: Path, target: str) -> None:
    """Ranges are those of the pictures; changed pictures calibrate again, and only that."""
    check_target(tmp_path, target)


@pytest.mark.extra("train", "image")
def test_the_frames_for_the_tools_are_these_pictures(tmp_path: Path) -> None:
    """TI's own calibration sees what this one saw."""
    write_pictures(tmp_path / "dark", 12, int(256 * DARK))
    run(recipe(tmp_path, "tidl"), tmp_path / "run", until="compile")
    frames = sorted((tmp_path / "run").rglob("calibration/*.bin"))
    assert len(frames) == 12
    values = np.concatenate([np.fromfile(frame, "<f4") for frame in frames])
    assert 0.1 < values.max() < DARK
