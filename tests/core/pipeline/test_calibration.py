"""Calibration data of its own, through whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.pipeline.calibrating import check_target, input_reach, recipe, write_pictures

from nibblefit.errors import InputError

pytestmark = pytest.mark.extra("train", "image")


def test_the_generic_target_calibrates_on_a_folder(tmp_path: Path) -> None:
    """Its ranges are those of the pictures; changed pictures calibrate again, and only that."""
    check_target(tmp_path, "generic")


def test_too_few_pictures_stop_a_run_before_training(tmp_path: Path) -> None:
    """The first step says so, not the one that calibrates."""
    write_pictures(tmp_path / "dark", 11, 64)
    with pytest.raises(InputError, match="holds 11 samples"):
        input_reach(tmp_path / "run", recipe(tmp_path, "generic"))
    assert not list((tmp_path / "run" / "stages").glob("02*"))
