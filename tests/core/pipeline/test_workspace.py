"""The run folder under stress: damage, full disks, two runs at once, kills."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.pipeline.toys import Recorder, Toy, go, ran, toy_recipe

from nibblefit import open_run
from nibblefit.errors import ExitCode, NibblefitError, WorkspaceError
from nibblefit.workspace import Journal, RunLock, StepFolder, lock, storage
from nibblefit.workspace.fingerprint import data_files, network_files
from nibblefit.workspace.manifest import changes, read_manifest
from nibblefit.workspace.storage import new_sibling, old_sibling, settle, swap_in, write_file

ROOT = Path(__file__).resolve().parents[3]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def spoilt(raw: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes truncated, or with one bit flipped."""
    if not raw:
        return b"x"
    if rng.random() < 0.3:
        return raw[: int(rng.integers(0, len(raw)))]
    data = bytearray(raw)
    data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
    return bytes(data)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_damage_anywhere_is_noticed_and_repaired(count: int, tmp_path: Path) -> None:
    """A truncated or bit-flipped file of a step makes exactly that step run again."""
    whole = tmp_path / "whole"
    expected = go(whole).digests
    rng = np.random.default_rng(5)
    files = sorted(p for p in whole.rglob("stages/**/*") if p.is_file())
    for number in range(count):
        victim = files[number % len(files)]
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        path = folder / victim.relative_to(whole)
        path.write_bytes(spoilt(path.read_bytes(), rng))
        outcome = go(folder)
        assert outcome.digests == expected
        step = path.relative_to(folder / "stages").parts[0].split("-", 1)[1]
        assert ran(outcome) == [step]
        shutil.rmtree(folder)


def test_other_damaged_files_of_a_run_folder_never_stop_it(tmp_path: Path) -> None:
    """Journal, plan, recipe copies and lock are rewritten or read around."""
    expected = go(tmp_path).digests
    rng = np.random.default_rng(6)
    for name in ("journal.jsonl", "plan.json", "recipe.json", "recipe.toml", "lock.json"):
        for _ in range(4):
            path = tmp_path / name
            old = path.read_bytes() if path.exists() else b"[[["
            path.write_bytes(spoilt(old, rng))
            for step in open_run(tmp_path).steps:
                assert open_run(tmp_path).manifest(step).digest == expected[step]
            outcome = go(tmp_path)
            assert outcome.digests == expected
            assert ran(outcome) == []
            assert json.loads((tmp_path / "plan.json").read_text())["order"]


def test_opening_a_damaged_step_says_so(tmp_path: Path) -> None:
    """Nothing damaged is ever loaded."""
    go(tmp_path)
    folder = open_run(tmp_path).folder("quantize")
    victim = sorted((folder / "value").iterdir())[0]
    victim.write_bytes(victim.read_bytes()[:-1])
    with pytest.raises(WorkspaceError, match=r"damaged.*has been changed or damaged"):
        open_run(tmp_path).graph("quantize")
    victim.unlink()
    with pytest.raises(WorkspaceError, match="is missing"):
        open_run(tmp_path).graph("quantize")
    (folder / "manifest.json").write_text("[1]")
    assert "quantize" not in open_run(tmp_path).steps
    with pytest.raises(WorkspaceError, match="holds no finished step"):
        StepFolder(tmp_path / "stages").load()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{", "\xff", '{"check": 1}', "[" * 9999])
def test_a_manifest_of_any_other_form_is_damaged(text: str, tmp_path: Path) -> None:
    """Whatever stands in the file, the answer is one clear line."""
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WorkspaceError, match="is damaged"):
        read_manifest(tmp_path)


def test_a_journal_survives_a_torn_line(tmp_path: Path) -> None:
    """A half-written line spoils only itself."""
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.read() == []
    journal.write("one", value=1)
    with journal.path.open("ab") as stream:
        stream.write(b'{"event": "tw')
    journal.write("three")
    with journal.path.open("ab") as stream:
        stream.write(b"\xff\xfe\n[]\n" + b"[" * 5000 + b"\n")
    journal.write("four")
    assert [event["event"] for event in journal.read()] == ["one", "three", "four"]


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    """The second gets one clear line with the holder's process and exit status 2."""
    go(tmp_path)
    code = (
        "import sys, time; from nibblefit.workspace import RunLock\n"
        "from pathlib import Path\n"
        "with RunLock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceError, match=f"in use by process {other.pid} on ") as caught:
            go(tmp_path)
        assert caught.value.exit_code == ExitCode.USAGE
        assert open_run(tmp_path).report().metrics  # reading goes on
        other.kill()
        other.wait()
    recorder = Recorder()
    assert go(tmp_path, reporter=recorder).complete
    assert f"killed (process {other.pid}" in recorder.said[0]


def test_two_runs_in_one_process(tmp_path: Path) -> None:
    """Record locks alone would let a process in twice."""
    with RunLock(tmp_path), pytest.raises(WorkspaceError, match=f"process {os.getpid()}"):
        RunLock(tmp_path).__enter__()
    with RunLock(tmp_path) as again:
        assert not again.took_over


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO])
def test_file_systems_without_locks(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process id and host decide there; other troubles are explained."""

    def refuse(_stream: Any) -> None:
        raise OSError(number, "no locks")

    monkeypatch.setattr(lock, "_take", refuse)
    if number == errno.EIO:
        with pytest.raises(WorkspaceError, match="cannot lock"):
            RunLock(tmp_path).__enter__()
        return
    info = tmp_path / "lock.json"
    host = socket.gethostname()
    for holder, alive in (
        ({"pid": os.getppid(), "host": host}, True),
        ({"pid": 1, "host": "elsewhere"}, True),
        ({"pid": "x", "host": host}, True),
        ({"pid": 1 << 70, "host": host}, True),
        ({"pid": 4_190_000, "host": host}, False),
    ):
        info.write_text(json.dumps(holder))
        if alive:
            with pytest.raises(WorkspaceError, match="is in use"):
                RunLock(tmp_path).__enter__()
        else:
            with RunLock(tmp_path) as held:
                assert "4190000" in held.took_over


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """One clear line, and the file is left alone."""
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(WorkspaceError, match="a file stands where a folder is needed"):
        go(path)
    with pytest.raises(WorkspaceError, match="a file stands"):
        go(path / "below")
    assert path.read_text() == "mine"


FAULTS = [(errno.ENOSPC, "full"), (errno.EROFS, "read-only|full"), (errno.EACCES, "denied")]


@pytest.mark.parametrize(("number", "message"), FAULTS)
def test_a_disk_that_fails_at_any_write_loses_nothing(
    number: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write fails once; the error is explained, and the next run ends as always."""
    expected = go(tmp_path / "whole").digests
    real = os.fsync
    count = 0

    def failing(descriptor: int) -> None:
        nonlocal count
        count -= 1
        if count == 0:
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(storage.os, "fsync", failing)
    folder = tmp_path / "run"
    for moment in (1, 2, 5, 9, 14, 20, 30, 42):
        count = moment
        with pytest.raises(WorkspaceError, match=message):
            go(folder, recipe=toy_recipe(run__seed=moment))
        count = 0
    count = 0
    assert go(folder).digests == expected


@pytest.mark.parametrize(("number", "message"), FAULTS[:2])
def test_a_disk_that_fills_inside_a_stage(number: int, message: str, tmp_path: Path) -> None:
    """A plugin's own failed write is not blamed on the plugin."""
    toy = Toy()

    def fail(name: str) -> None:
        if name == "compile:written":
            raise OSError(number, os.strerror(number))

    toy.moment = fail
    with pytest.raises(WorkspaceError, match=f"step 'compile' stopped.*({message})"):
        go(tmp_path, toy)
    assert "compile" in ran(go(tmp_path))


def test_a_full_disk_behind_another_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries hide ENOSPC; the free space tells."""
    usage = shutil.disk_usage(tmp_path)._replace(free=0)
    toy = Toy()

    def fail(name: str) -> None:
        if name == "float:epoch0":
            monkeypatch.setattr(storage.shutil, "disk_usage", lambda _path: usage)
            raise RuntimeError("unexpected pos 64")

    toy.moment = fail
    with pytest.raises(WorkspaceError, match="is full"):
        go(tmp_path, toy)


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a tiny file system: one clear line; after freeing space the run ends as always."""
    mount = tmp_path / "tiny"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(mount)]
    found = shutil.which("mount")
    if found is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        go(mount / "run", until="prepare")
        ballast = mount / "ballast"
        with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(b"\0" * 4096):
                pass
        with pytest.raises(WorkspaceError, match="is full"):
            go(mount / "run")
        ballast.unlink()
        outcome = go(mount / "run")
        assert outcome.digests == go(tmp_path / "whole").digests
        assert outcome.steps[0].reused
    finally:
        subprocess.run(["umount", str(mount)], check=True)


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


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replacing a file is all or nothing."""
    path = tmp_path / "file"
    write_file(path, b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(storage.os, "fsync", fail)
    with pytest.raises(WorkspaceError, match=r"cannot write .*disk is full"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    path2 = tmp_path / "folder"
    new_sibling(path2).mkdir()
    with pytest.raises(WorkspaceError):
        swap_in(path2)


def test_changes_are_named_by_their_ingredient() -> None:
    """Values are shown, long ones shortened, files and results by name."""
    old = {"train.epochs": 30, "a": 1, "file x": "1", "same": [1, 2], "long": "x" * 100}
    new = {"train.epochs": 40, "b": None, "file x": "2", "same": [1, 2], "long": "y" * 100}
    found = changes(old, new)
    assert "train.epochs 30 → 40" in found
    assert "a 1 → (unset)" in found
    assert "b (unset) → null" in found
    assert "file x changed" in found
    assert not any(line.startswith("same") for line in found)
    assert max(map(len, found)) < 120


def test_fingerprints_follow_the_files_a_network_is_made_of(tmp_path: Path) -> None:
    """Local imports, relative imports, modules by name, ONNX side files, weights, data."""
    package = tmp_path / "netpack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("from . import parts\nfrom .deep import x\nimport numpy\n")
    (package / "parts.py").write_text("import other\n")
    (package / "deep.py").write_text("x = (\n")
    (tmp_path / "w.npz").write_bytes(b"w")
    (tmp_path / "a.onnx").write_bytes(b"o")
    (tmp_path / "a.onnx.data").write_bytes(b"d")

    def names(source: str, **extra: str) -> set[str]:
        recipe = toy_recipe(model__source=source, **extra)
        recipe = recipe.model_copy(update={"folder": str(tmp_path)})
        return {name.removeprefix("file ") for name in network_files(recipe)}

    expected = {"netpack/net.py", "netpack/parts.py", "netpack/deep.py", "netpack/__init__.py"}
    assert names("netpack/net.py:make") == expected
    assert names("netpack.net:make") == expected
    assert names("a.onnx", model__weights="w.npz") == {"a.onnx", "a.onnx.data", "w.npz"}
    assert names("missing.py:make") == names("nowhere.at.all:make") == set()
    assert {Path(n).name for n in names("colorsys:rgb_to_hsv")} == {"colorsys.py"}


def test_fingerprints_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a folder or a Python factory; a huge folder goes by sizes and times."""
    from nibblefit.workspace import fingerprint

    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")

    def files(path: str) -> dict[str, str]:
        recipe = toy_recipe(data__path=path)
        return data_files(recipe.model_copy(update={"folder": str(tmp_path)}))

    assert files("") == {}
    before = files("set")
    (folder / "a").write_bytes(b"2")
    assert files("set") != before
    assert set(files("set/a")) == {"file set/a"}
    monkeypatch.setattr(fingerprint, "_BY_CONTENT", 0)
    by_time = files("set")
    os.utime(folder / "a", ns=(1, 1))
    assert files("set") != by_time
    (tmp_path / "d.py").write_text("x = 1")
    assert set(files("d.py:make")) == {"file d.py"}


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


def test_a_defect_keeps_its_own_type_and_a_traceback_file(tmp_path: Path) -> None:
    """What is no plugin's fault is not dressed up as one."""

    class Broken:
        """Sources that fail."""

        def device(self, recipe: Any) -> str:
            raise ZeroDivisionError("defect")

    with pytest.raises(ZeroDivisionError) as caught:
        go(tmp_path, sources=Broken())
    assert "errors/prepare.txt" in caught.value.__notes__[0]
    assert not isinstance(caught.value, NibblefitError)
