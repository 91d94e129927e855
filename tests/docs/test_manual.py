"""Every command and every Python block of the manual is run as shown."""

from __future__ import annotations

import os
import shlex
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
    "cd nibblefit": "goes with git clone",
    ". .venv/bin/activate": "the suite runs in that environment",
    "make setup": "every other make target depends on it",
    "make demo": "takes a minute; tests/docs/test_demo.py runs the same recipe (slow)",
    "nibblefit run examples/tidl/digits.toml": "takes half a minute; "
    "tests/docs/test_tidl_digits.py runs it (slow), and in short",
    "nibblefit run examples/tao/digits.toml": "takes half a minute; "
    "tests/tao/test_loop.py runs it (slow), and in short",
    "nibblefit run examples/vitis/digits.toml": "takes half a minute; "
    "tests/vitis/test_example.py runs it in short",
    "make test": "is the suite that contains this test; CI runs it",
    "make check": "CI runs it",
    "make coverage": "is the suite again, measured",
    "make fuzz": "runs this suite with more examples",
    "make results": "takes half an hour; writes docs/results.md",
    "make bench": "takes minutes; writes docs/results.md",
    "make docs": "CI checks its result (docs/generate.py --check)",
    "make wheels": "nox builds the same wheels",
    ".venv/bin/nox": "takes minutes; runs the plugin matrix",
}
#: An editable installation of a package that a page has shown. Here the package goes to a folder
#: of its own, so that the environment of the tests stays as it is; nothing is downloaded.
INSTALL = "pip install -e "
SITE = "site"


def _page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like the repository root, so that runs do not litter the tree."""
    place = tmp_path_factory.mktemp("manual")
    for name in ("examples", "tests", "core", "plugins", "docs"):
        (place / name).symlink_to(ROOT / name)
    return place


def _environment(folder: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    site = f"{folder / SITE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONPATH": site, "COLUMNS": "100", "NO_COLOR": "1"}


def _elsewhere(command: str) -> bool:
    return any(command.startswith(prefix) for prefix in RUN_ELSEWHERE)


@pytest.mark.parametrize("page", pages(ROOT), ids=_page_id)
def test_page_runs(page: Path, workplace: Path) -> None:
    """The page's console commands succeed in order, and its Python blocks run as one program.

    A block with ``file=path`` is written to that file, where later commands find it.
    """
    python: list[str] = []
    for block in blocks_of(page):
        where = f"{_page_id(page)}:{block.line}"
        if block.file:
            _write(workplace, block.file, block.body)
        elif block.language in {"console", "sh", "bash"}:
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


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    assert path.resolve().is_relative_to(folder.resolve()), f"{name} lies outside the workplace"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _run_command(command: str, folder: Path, where: str) -> None:
    expected = 0
    if "# exit " in command:
        command, _, code = command.partition("# exit ")
        expected = int(code.split()[0])
    if command.startswith(INSTALL):
        package = shlex.quote(command.removeprefix(INSTALL).strip())
        command = (
            f"{shlex.quote(sys.executable)} -m pip install --quiet --disable-pip-version-check "
            f"--no-index --no-deps --no-build-isolation --upgrade --target {SITE} {package}"
        )
    done = subprocess.run(
        command, shell=True, cwd=folder, env=_environment(folder), capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    said = (done.stdout + done.stderr)[-3000:]
    assert done.returncode == expected, f"{where}: {command}\n{said}"


def _run_python(code: str, folder: Path, where: str) -> None:
    script = folder / "page.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=_environment(folder), capture_output=True,
        text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{where}\n{(done.stdout + done.stderr)[-3000:]}"


def test_exemptions_are_used() -> None:
    """Every command that is run elsewhere is really shown on some page."""
    shown = [c for p in pages(ROOT) for b in blocks_of(p) for c in commands_of(b)]
    unused = [prefix for prefix in RUN_ELSEWHERE if not any(c.startswith(prefix) for c in shown)]
    assert not unused, f"no page shows {unused}"
