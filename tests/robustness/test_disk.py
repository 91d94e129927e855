"""Full disks, read-only folders and files in the way: one clear line, and nothing lost."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.robustness.commands import (
    EXAMPLES,
    assert_refused,
    finished,
    here,
    short_run,
    start,
)
from tests.robustness.people import nobody
from tests.robustness.runs import assert_intact, digests

RECIPES = {"generic": "digits_generic.toml", "maxim": "digits_maxim.toml"}


class TinyDisk:
    """A file system of its own, held in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, size: int) -> None:
        """Give the disk another size in bytes."""
        self._mount(f"remount,size={size}")

    def lock(self) -> None:
        """Make the disk read-only."""
        self._mount("remount,ro")

    def unlock(self) -> None:
        """Make the disk writable again."""
        self._mount("remount,rw")

    def _mount(self, options: str) -> None:
        subprocess.run(["mount", "-o", options, str(self.path)], check=True, capture_output=True)


@contextmanager
def _mounted(path: Path, size: int) -> Iterator[TinyDisk]:
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
    if (
        shutil.which("mount") is None
        or subprocess.run(words, capture_output=True, check=False).returncode
    ):
        pytest.skip("mounting a small file system is not permitted here")
    try:
        yield TinyDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    """Return a disk of 16 MiB, or skip."""
    with _mounted(tmp_path / "disk", 16 << 20) as found:
        yield found


def _fills_and_recovers(recipe: str, whole: Path, disk: TinyDisk, size: int) -> bool:
    """Run on a disk of a size; return whether it was full. With more space the run ends."""
    folder = disk.path / f"run{size}"
    disk.resize(size)
    outcome = here(*short_run(recipe, folder))
    if outcome.code:
        assert_refused(outcome, 2, str(folder))
        assert "full" in outcome.err or "No space" in outcome.err, outcome.err
    before = digests(folder) if (folder / "stages").is_dir() else {}
    disk.resize(64 << 20)
    assert here(*short_run(recipe, folder)).code == 0
    assert before.items() <= digests(folder).items()
    assert digests(folder) == digests(whole)
    assert_intact(folder)
    shutil.rmtree(folder)
    return outcome.code != 0


@pytest.mark.parametrize("size", [4 << 10, 96 << 10, 192 << 10])
def test_a_full_disk_is_named_and_the_run_goes_on_later(
    size: int, generic_run: Path, disk: TinyDisk
) -> None:
    """Too small for the folder, for the training, for the last files."""
    assert _fills_and_recovers(RECIPES["generic"], generic_run, disk, size)


@pytest.mark.slow
@pytest.mark.parametrize("target", RECIPES)
def test_a_disk_of_any_size_is_full_in_one_clear_line(
    target: str, request: pytest.FixtureRequest, disk: TinyDisk
) -> None:
    """Sizes in steps of 48 KiB until the whole run fits, report included."""
    whole = request.getfixturevalue(f"{target}_run")
    sizes = range(4 << 10, 1 << 20, 48 << 10)
    full = [_fills_and_recovers(RECIPES[target], whole, disk, size) for size in sizes]
    assert full.count(True) > 3
    assert not full[-1]


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [512, 3 << 10, 8 << 10, 12 << 10])
def test_a_limit_on_file_sizes_is_explained(size: int, generic_run: Path, tmp_path: Path) -> None:
    """Where nothing may be mounted a quota does the same: explained, and resumed without it."""
    words = short_run(RECIPES["generic"], tmp_path / "run")
    with _largest_file(size):
        outcome = here(*words)
    assert_refused(outcome, 2)
    assert here(*words).code == 0
    assert digests(tmp_path / "run") == digests(generic_run)


def test_a_read_only_run_folder(generic_run: Path, disk: TinyDisk, tmp_path: Path) -> None:
    """Looking works, running is refused, nothing changes; a new folder there is refused, too."""
    folder = Path(shutil.copytree(generic_run, disk.path / "run"))
    expected = digests(folder)
    disk.lock()
    try:
        words = short_run(RECIPES["generic"], folder)
        assert_refused(here(*words), 2, "read-only", "--folder")
        assert_refused(here(*short_run(RECIPES["generic"], disk.path / "new")), 2, "read-only")
        assert here("show", str(folder)).code == 0
        assert_refused(here("report", str(folder)), 2, "ead-only", "--out")
        assert here("report", str(folder), "--out", str(tmp_path / "report.html")).code == 0
        assert_refused(here("init", str(disk.path / "recipe.toml")), 2)
        assert digests(folder) == expected
    finally:
        disk.unlock()
    assert here(*words).code == 0


@pytest.mark.slow
def test_a_disk_that_turns_read_only_during_a_run(generic_run: Path, disk: TinyDisk) -> None:
    """Remounted in the middle of a training: explained; writable again, it goes on."""
    folder = disk.path / "run"
    changes = {"train__epochs": "2", "train__float__epochs": "2"}
    process = start(*short_run(RECIPES["generic"], folder, **changes))
    while process.poll() is None and not (folder / "stages/01-prepare/manifest.json").exists():
        pass
    locked = True
    try:
        disk.lock()
    except subprocess.CalledProcessError:  # busy: a file is open for writing at this moment
        locked = False
    outcome = finished(process)
    if locked:
        disk.unlock()
        assert_refused(outcome, 2)
    else:
        assert outcome.code == 0
    assert here(*short_run(RECIPES["generic"], folder, **changes)).code == 0
    assert digests(folder) == digests(generic_run)


def test_a_folder_without_the_right_to_write(generic_run: Path) -> None:
    """Refused before anything is made; a finished run of someone else can be looked at."""
    place = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others altogether
    try:
        shutil.copytree(generic_run, place / "run")
        shutil.copytree(EXAMPLES, place / "examples")
        words = short_run(str(place / "examples" / RECIPES["generic"]), place / "new")
        place.chmod(0o555)
        (place / "run").chmod(0o555)
        with nobody():
            assert_refused(here(*words), 2, "permission denied", str(place / "new"))
            words[words.index("--folder") + 1] = str(place / "run")
            assert_refused(here(*words), 2, "permission denied", str(place / "run"))
            assert here("show", str(place / "run")).code == 0
        assert not (place / "new").exists()
        assert digests(place / "run") == digests(generic_run)
    finally:
        place.chmod(0o755)
        (place / "run").chmod(0o755)
        shutil.rmtree(place)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_where_the_run_folder_should_be(place: str, tmp_path: Path) -> None:
    """The file stays as it is."""
    (tmp_path / "file").write_text("mine")
    outcome = here(*short_run(RECIPES["generic"], tmp_path / place))
    assert_refused(outcome, 2, "a file stands where a folder is needed")
    assert (tmp_path / "file").read_text() == "mine"
