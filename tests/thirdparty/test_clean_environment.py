"""A stranger's target, built as a wheel, is found and checked by an installed nibblefit."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOYCHIP = ROOT / "tests" / "thirdparty" / "toychip"


def _wheel(project: Path, out: Path) -> Path:
    """Build one wheel with the build backend at hand; nothing is downloaded."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, project],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new environment with the two wheels in it.

    Third-party libraries are linked from the environment of the tests, so that nothing is
    downloaded; nibblefit and its plugins are not among them.
    """
    pytest.importorskip("hatchling")
    pytest.importorskip("build")
    place = tmp_path_factory.mktemp("clean")
    venv.create(place / "env", with_pip=True)
    python = place / "env" / "bin" / "python"
    site = next((place / "env" / "lib").glob("python*")) / "site-packages"
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        ours = "nibblefit" in entry.name.lower() or entry.suffix == ".pth"
        if not ours and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    wheels = [_wheel(ROOT / "core", place / "core"), _wheel(TOYCHIP, place / "toychip")]
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *wheels],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return place


def _run(clean: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    binaries = clean / "env" / "bin"
    return subprocess.run(
        [binaries / command[0], *command[1:]], cwd=clean, capture_output=True, text=True,
        check=False, timeout=240, env={"PATH": str(binaries), "HOME": str(clean)},
    )  # fmt: skip


def test_target_is_found(clean: Path) -> None:
    """The installed target is listed beside the built-in one, and no other."""
    done = _run(clean, "nibblefit", "targets", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    rows = listed if isinstance(listed, list) else listed["targets"]
    assert {row["name"] for row in rows} == {"generic", "toychip"}


def test_command_line_check_passes(clean: Path) -> None:
    """`nibblefit check` runs the kit without pytest and finds nothing wrong."""
    done = _run(clean, "nibblefit", "check", "toychip")
    assert done.returncode == 0, done.stdout + done.stderr


def test_three_line_pytest_file_passes(clean: Path) -> None:
    """The stranger's own test file passes in the clean environment."""
    tests = TOYCHIP / "tests" / "test_conformance.py"
    done = _run(clean, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                "--rootdir", clean, tests)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
