"""Every command and every Python block of the manual is run as shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.blocks import SHOWN_ONLY, blocks_of, commands_of, pages

ROOT = Path(__file__).resolve().parents[2]

#: Commands that this test must not run, and what runs them instead. A line here that no page
#: shows fails the suite, so the list cannot rot.
RUN_ELSEWHERE = {
    "git clone": "needs the published repository; a clean clone is what CI starts from",
    "make test": "is the suite that contains this test; CI runs it",
    "make demo": "takes minutes; tests/docs/test_demo.py runs the same recipe (slow)",
    "make check": "CI runs it",
    "make fuzz": "runs this suite with more examples",
    "make results": "takes half an hour; writes docs/results.md",
    "make bench": "takes minutes; writes docs/results.md",
    "make docs": "CI checks its result (docs/generate.py --check)",
    "make wheels": "nox builds the same wheels",
    "make setup": "every other make target depends on it",
    "cd nibblefit": "goes with git clone",
    "nox": "takes minutes; runs the plugin matrix",
    "pip install": "the suite runs in an environment where it is installed",
    ".venv/bin/nox": "takes minutes; runs the plugin matrix",
}


def _page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like the repository root, so that runs do not litter the tree."""
    place = tmp_path_factory.mktemp("manual")
    for name in ("examples", "tests", "core", "plugins", "docs"):
        (place / name).symlink_to(ROOT / name)
    return place


def _environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


def _elsewhere(command: str) -> bool:
    return any(command.startswith(prefix) for prefix in RUN_ELSEWHERE)


@pytest.mark.parametrize("page", pages(ROOT), ids=_page_id)
def test_page_runs(page: Path, workplace: Path) -> None:
    """The page's console commands succeed in order, and its Python blocks run as one program."""
    python: list[str] = []
    for block in blocks_of(page):
        where = f"{_page_id(page)}:{block.line}"
        if block.language in {"console", "sh", "bash"}:
            commands = commands_of(block)
            assert commands, f"{where}: a console block without '$ ' commands"
            for command in commands:
                if not _elsewhere(command):
                    _run_command(command, workplace, where)
        elif block.language in {"python", "pycon"}:
            python.append(f"# {where}\n{block.body}")
        else:
            assert block.language in SHOWN_ONLY, f"{where}: block of language '{block.language}'"
    if python:
        _run_python("\n".join(python), workplace, _page_id(page))


def _run_command(command: str, folder: Path, where: str) -> None:
    expected = 0
    if "# exit " in command:
        command, _, code = command.partition("# exit ")
        expected = int(code.split()[0])
    done = subprocess.run(
        command, shell=True, cwd=folder, env=_environment(), capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    said = (done.stdout + done.stderr)[-3000:]
    assert done.returncode == expected, f"{where}: {command}\n{said}"


def _run_python(code: str, folder: Path, where: str) -> None:
    script = folder / "page.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=_environment(), capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{where}\n{(done.stdout + done.stderr)[-3000:]}"


def test_exemptions_are_used() -> None:
    """Every command that is run elsewhere is really shown on some page."""
    shown = [c for p in pages(ROOT) for b in blocks_of(p) for c in commands_of(b)]
    unused = [prefix for prefix in RUN_ELSEWHERE if not any(c.startswith(prefix) for c in shown)]
    assert not unused, f"no page shows {unused}"
