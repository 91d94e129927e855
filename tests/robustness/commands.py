"""The command line as a user meets it: a process, its two streams and its exit code."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from nibblefit.cli.entry import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Small, short and through every stage: what the robustness tests run.
SHORT = {
    "model.arguments.width": "4",
    "train.epochs": "2",
    "evaluate.floor": "0.0",
    "evaluate.max_drop": "1.0",
    "evaluate.samples": "48",
    "evaluate.judge_samples": "8",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


def settings(**changes: str) -> list[str]:
    """Return the ``--set`` options of a short run; keys of `changes` use ``__`` for the dot."""
    values = {**SHORT, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def short_run(recipe: str, folder: Path, **changes: str) -> list[str]:
    """Return the words of ``nibblefit run`` for an example recipe, shortened."""
    changes = {"train__float__epochs": "2", "train__qat__epochs": "1", **changes}
    if "generic" in recipe:
        del changes["train__qat__epochs"]
    path = EXAMPLES / recipe if (EXAMPLES / recipe).is_file() else Path(recipe)
    return ["run", str(path), "--folder", str(folder), *settings(**changes)]


def training(folder: Path) -> list[str]:
    """Return the words of a training of five epochs, with a checkpoint after each."""
    changes = {"train__epochs": "5", "train__float__epochs": "5"}
    return ["train", *short_run("digits_generic.toml", folder, **changes)[1:]]


def here(*words: str) -> Outcome:
    """Run a command in this process: as the entry point does, without a second start of torch."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return Outcome(code, out.getvalue(), err.getvalue())


def start(*words: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start a command as a process group of its own, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "nibblefit", *words], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
    )  # fmt: skip


def finished(process: subprocess.Popen[str], timeout: float = 120) -> Outcome:
    """Wait for a started command."""
    out, err = process.communicate(timeout=timeout)
    return Outcome(process.returncode, out, err)


def command(*words: str, cwd: Path | None = None) -> Outcome:
    """Run a command in a process of its own."""
    return finished(start(*words, cwd=cwd))


def assert_refused(outcome: Outcome, code: int = 2, *words: str) -> None:
    """Check that a command said one clear paragraph and ended in the right exit code.

    Args:
        outcome: What the command left behind.
        code: Expected exit code.
        words: Texts that the message must contain.
    """
    shown = f"exit code {outcome.code}\n{outcome.out[-500:]}\n{outcome.err[-3000:]}"
    assert outcome.code == code, shown
    for text in ("Traceback", "this is a defect", "Warning:"):
        assert text not in outcome.err, shown
    message = message_of(outcome)
    assert message, shown
    assert len(message) < 4000, shown
    for word in words:
        assert word in message, shown


def message_of(outcome: Outcome) -> str:
    """Return the error paragraph: what follows the progress lines on stderr."""
    lines = outcome.err.rstrip("\n").split("\n")
    start = len(lines) - 1
    while start > 0 and lines[start].startswith("  "):
        start -= 1
    return "\n".join(lines[start:]).strip()
