"""Calibration data of its own, through a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.pipeline.calibrating import check_target


@pytest.mark.extra("train", "image")
def test_a_folder_of_pictures_calibrates(tmp_path: Path) -> None:
    """Ranges are those of the pictures; changed pictures calibrate again, and only that."""
    check_target(tmp_path, "tao")
