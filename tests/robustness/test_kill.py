"""kill -9 at random moments of a real run: resuming ends with the same digests."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.robustness.commands import command, finished, short_run, start
from tests.robustness.runs import assert_intact, digests, vendor_files

RECIPES = ("digits_generic.toml", "digits_maxim.toml")


def _kill(process: subprocess.Popen[str], sign: Path, delay: float) -> bool:
    """Kill a run and its children `delay` seconds after `sign` is there; False if it ended."""
    while process.poll() is None and not sign.exists():
        time.sleep(0.005)
    before = time.monotonic()
    while process.poll() is None and time.monotonic() - before < delay:
        time.sleep(0.002)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    finished(process)
    return alive


def _reference(recipe: str, folder: Path) -> float:
    """Run to the end; return the seconds between the run's first sign and its end."""
    process = start(*short_run(recipe, folder))
    while process.poll() is None and not (folder / "journal.jsonl").exists():
        time.sleep(0.005)
    begun = time.monotonic()
    assert finished(process).code == 0
    return time.monotonic() - begun


def _killed_and_resumed(recipe: str, folder: Path, moments: list[float]) -> None:
    for moment in moments:
        done = digests(folder) if (folder / "stages").is_dir() else {}
        killed = _kill(start(*short_run(recipe, folder)), folder / "journal.jsonl", moment)
        if not killed:
            break
        after = digests(folder) if (folder / "stages").is_dir() else {}
        assert done.items() <= after.items(), "a finished step was lost"
    outcome = command(*short_run(recipe, folder))
    assert outcome.code == 0, outcome.err


def test_a_run_killed_twice_ends_with_the_digests_of_an_undisturbed_one(
    maxim_run: Path, tmp_path: Path
) -> None:
    """Killed in the first training and again after it: the third start goes on, and agrees."""
    folder, recipe = tmp_path / "run", "digits_maxim.toml"
    for sign in ("scratch/float", "stages/02-float/manifest.json"):
        process = start(*short_run(recipe, folder))
        assert _kill(process, folder / sign, random.uniform(0, 0.2))
    assert "float" in digests(folder)
    outcome = command(*short_run(recipe, folder))
    assert outcome.code == 0, outcome.err
    assert "killed" in outcome.err + outcome.out
    assert digests(folder) == digests(maxim_run)
    assert vendor_files(folder) == vendor_files(maxim_run)
    assert_intact(folder)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_twenty_random_moments_always_end_with_the_same_digests(
    recipe: str, tmp_path: Path
) -> None:
    """Twenty runs, each killed at a random moment and resumed; every third is killed twice."""
    duration = _reference(recipe, tmp_path / "whole")
    expected, files = digests(tmp_path / "whole"), vendor_files(tmp_path / "whole")
    chance = random.Random(recipe)
    for number in range(20):
        folder = tmp_path / f"run{number}"
        moments = [chance.uniform(0, duration) for _ in range(1 + (number % 3 == 0))]
        _killed_and_resumed(recipe, folder, moments)
        assert digests(folder) == expected, moments
        assert vendor_files(folder) == files, moments
        assert_intact(folder, tuple(expected))
