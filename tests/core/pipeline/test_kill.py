"""Runs killed at random moments, through the system and inside a swap."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.core.pipeline.toys import go

from nibblefit.workspace.storage import new_sibling, old_sibling, settle

ROOT = Path(__file__).resolve().parents[3]


def test_a_swap_killed_between_its_renames_is_finished(tmp_path: Path) -> None:
    """At every point of a swap the folder holds the old or the new content afterwards."""
    folder = tmp_path / "step"
    for present, expected in (
        ({"step": "old", "new": "half"}, "old"),
        ({"step": "old", "new": "whole"}, "new"),
        ({"old": "old", "new": "whole"}, "new"),
        ({"old": "old", "new": "half"}, "old"),
        ({"old": "old"}, "old"),
        ({"step": "new", "old": "old"}, "new"),
        ({"new": "half"}, None),
    ):
        paths = {"step": folder, "new": new_sibling(folder), "old": old_sibling(folder)}
        for name, state in present.items():
            paths[name].mkdir()
            (paths[name] / "content").write_text("old" if state == "old" else "new")
            if state != "half":
                (paths[name] / "manifest.json").touch()
        settle(folder, "manifest.json")
        found = (folder / "content").read_text() if folder.exists() else None
        assert found == expected
        assert not paths["new"].exists()
        assert not paths["old"].exists()
        if folder.exists():
            shutil.rmtree(folder)


def start_slow_run(folder: Path, pause: float) -> subprocess.Popen[str]:
    """Start a slow toy run in a process of its own; returns when it is about to begin."""
    code = "from tests.core.pipeline.toys import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(pause)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill_and_resume(folder: Path, delays: list[float], pause: float) -> dict[str, str]:
    """Kill a run with SIGKILL after each delay, then let it end; returns its digests."""
    for delay in delays:
        with start_slow_run(folder, pause) as process:
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                process.kill()
    with start_slow_run(folder, pause) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    digests: dict[str, str] = json.loads(output)
    return digests


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Three kills in one run, and the digests are those of an unbroken run."""
    expected = go(tmp_path / "whole").digests
    delays = [float(d) for d in np.random.default_rng(11).uniform(0.02, 0.35, 3)]
    assert kill_and_resume(tmp_path / "killed", delays, 0.06) == expected


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments(tmp_path: Path) -> None:
    """Twenty runs, each killed once somewhere between its start and its end."""
    expected = go(tmp_path / "whole").digests
    for number, delay in enumerate(np.random.default_rng(12).uniform(0.0, 0.6, 20)):
        assert kill_and_resume(tmp_path / str(number), [float(delay)], 0.06) == expected
