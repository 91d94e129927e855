"""Core without its extras: everything else works, and errors name the extra that is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.robustness.commands import Outcome, assert_refused

#: Installed here for the tests, absent from a plain installation of core.
_EXTRAS = ("lightning", "lightning_fabric", "pytorch_lightning", "torchmetrics", "sklearn", "scipy",
           "matplotlib", "jinja2", "PIL", "pandas", "torchvision", "onnxruntime", "pytest",
           "hypothesis")  # fmt: skip
_SHELL = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
from nibblefit.cli.entry import main
codes = []
for words in {commands}:
    print("\\x1e", flush=True)
    print("\\x1e", file=sys.stderr, flush=True)
    codes.append(main(words))
print("\\x1e", codes)
"""


def without_extras(*commands: list[str], cwd: Path) -> list[Outcome]:
    """Run commands, one after the other, in one process that cannot import any extra."""
    code = _SHELL.format(names=set(_EXTRAS), commands=list(commands))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *outs, codes = done.stdout.split("\x1e")[1:]
    errs = done.stderr.split("\x1e")[1:]
    found = [int(number) for number in codes.strip(" []\n").split(",")]
    return [Outcome(*parts) for parts in zip(found, outs, errs, strict=True)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return what each command came to, by a short name."""
    folder = tmp_path_factory.mktemp("plain")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (120, 8, 8)).astype(np.uint8)
    np.savez(folder / "data.npz", x=images, y=np.arange(120) % 10)
    (folder / "images" / "train" / "a").mkdir(parents=True)
    (folder / "images" / "train" / "a" / "x.png").write_bytes(b"")
    npz = ["--data", "npz:data.npz"]
    short = ["--set", "evaluate.judge_samples=4"]
    commands = {
        "targets": ["targets"],
        "init": ["init", "--target", "generic", *npz, "npz.toml"],
        "inspect": ["inspect", "network.py:small_cnn", "-t", "generic", "--input-shape", "1,8,8"],
        "quantize": ["run", "npz.toml", "-o", "untrained", "--set", "train.epochs=0", *short],
        "show": ["show", "untrained", "--json"],
        "check": ["check", "generic"],
        "train": ["run", "npz.toml", "-o", "trained", "--set", "train.epochs=1"],
        "report": ["report", "untrained"],
        "init digits": ["init", "--target", "generic", "digits.toml"],
        "digits": ["prepare", "digits.toml"],
        "init folder": ["init", "--target", "generic", "--data", "folder:images", "folder.toml"],
        "folder": ["prepare", "folder.toml"],
    }
    return dict(zip(commands, without_extras(*commands.values(), cwd=folder), strict=True))


@pytest.mark.parametrize(
    "name", ["targets", "init", "inspect", "quantize", "show", "check", "init digits"]
)
def test_core_alone_does_it(name: str, outcomes: dict[str, Outcome]) -> None:
    """Listing, looking, writing recipes, post-training quantization, files, evaluation, the kit."""
    assert outcomes[name].code == 0, outcomes[name].err


@pytest.mark.parametrize(
    ("name", "extra"),
    [("train", "train"), ("report", "report"), ("digits", "train"), ("folder", "image")],
)
def test_what_needs_an_extra_names_it(name: str, extra: str, outcomes: dict[str, Outcome]) -> None:
    """One clear line with the command that installs it; exit code 2."""
    assert_refused(outcomes[name], 2, f"extra '{extra}'", f"pip install 'nibblefit[{extra}]'")


def test_a_run_without_the_report_extra_is_complete(outcomes: dict[str, Outcome]) -> None:
    """Everything but the drawing is there, and how to get that is said."""
    assert "pip install 'nibblefit[report]'" in outcomes["quantize"].out
    assert "judge and engine agree" in outcomes["quantize"].out
