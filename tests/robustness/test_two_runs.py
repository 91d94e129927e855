"""Two runs in one folder at once: the second is refused, the first is not disturbed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.robustness.commands import assert_refused, finished, here, short_run, start
from tests.robustness.runs import assert_intact, digests

_LONGER = {"train__epochs": "3", "train__float__epochs": "3"}


def test_the_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    """While the first trains: who holds the folder, exit code 2; afterwards it is free."""
    folder = tmp_path / "run"
    words = short_run("digits_generic.toml", folder, **_LONGER)
    process = start(*words)
    while process.poll() is None and not (folder / "stages/01-prepare/manifest.json").exists():
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGSTOP)  # however slow this machine is, the first is still there
    try:
        second = here(*words)
        other = here(*short_run("digits_generic.toml", folder))
        shown = here("show", str(folder), "--json")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    first = finished(process)
    for refused in (second, other):
        assert_refused(refused, 2, "in use", str(process.pid), "--folder")
    assert shown.code == 0
    assert json.loads(shown.out)["steps"]
    assert first.code == 0, first.err
    assert_intact(folder)
    again = here(*words)
    assert again.code == 0
    assert "reused" in again.err or "reused" in again.out


@pytest.mark.slow
def test_two_started_together_leave_one_whole_run(generic_run: Path, tmp_path: Path) -> None:
    """Started in the same moment: one runs, the other is refused or finds everything done."""
    folder = tmp_path / "run"
    words = short_run("digits_generic.toml", folder)
    both = [start(*words) for _ in range(2)]
    outcomes = sorted((finished(process) for process in both), key=lambda found: found.code)
    assert outcomes[0].code == 0, outcomes[0].err
    if outcomes[1].code:
        assert_refused(outcomes[1], 2, "in use")
    assert digests(folder) == digests(generic_run)
    assert_intact(folder)
