"""The script that composes scenes to segment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nibblefit.data.voc import read_voc

SCRIPT = Path(__file__).resolve().parents[2] / "examples/scenes/make_scenes.py"


@pytest.mark.extra("train", "image")
def test_scenes_are_composed_and_read(shared: Path, tmp_path: Path) -> None:
    """A few scenes: pictures and masks of one size, plates and background in each, repeatable."""
    found = []
    for name in ("one", "two"):
        command = [sys.executable, str(SCRIPT), str(shared / "data/mnist"), str(tmp_path / name),
                   "--training", "6", "--test", "3", "--size", "64"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        found.append(read_voc(tmp_path / name, {"targets": "masks"}))
    assert found[0].class_names == ("background", *(f"digit {n}" for n in range(10)))
    assert found[0].inputs.shape == (9, 3, 64, 64)
    assert found[0].test.tolist() == [6, 7, 8]
    for mask in found[0].targets:
        classes = np.unique(mask)
        assert classes[0] == 0
        assert 2 <= len(classes) <= 4
    assert np.array_equal(found[0].inputs, found[1].inputs)
    assert np.array_equal(found[0].targets, found[1].targets)
