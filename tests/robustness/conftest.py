"""Finished short runs, made once; tests that damage one take a copy."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from tests.robustness.commands import finished, here, short_run, start, training


def _finished(recipe: str, folder: Path) -> Path:
    outcome = here(*short_run(recipe, folder))
    assert outcome.code == 0, outcome.err
    return folder


@pytest.fixture(scope="session")
def generic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of the generic example; not to be changed."""
    return _finished("digits_generic.toml", tmp_path_factory.mktemp("generic") / "run")


@pytest.fixture(scope="session")
def maxim_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of the maxim example; not to be changed."""
    return _finished("digits_maxim.toml", tmp_path_factory.mktemp("maxim") / "run")


@pytest.fixture(scope="session")
def stopped_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run killed in its training, with two checkpoints; not to be changed."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    process = start(*training(folder))
    while process.poll() is None and not list(folder.glob("scratch/*/*/epoch-000002.ckpt")):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    finished(process)
    return folder
