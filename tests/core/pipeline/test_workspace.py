"""The run folder under stress: damage, full disks, two runs at once, kills."""

from __future__ import annotations

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
from tests.core.pipeline.toys import Recorder, go, ran, toy_recipe

from nibblefit import open_run
from nibblefit.errors import ExitCode, NibblefitError, WorkspaceError
from nibblefit.workspace import Journal, RunLock, StepFolder, lock
from nibblefit.workspace.fingerprint import data_files, network_files
from nibblefit.workspace.manifest import changes, read_manifest


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


def test_changes_are_named_by_their_ingredient() -> None:
    """Values are shown, long ones shortened, files and results by name."""
    old = {"train.epochs": 30, "a": 1, "file x": "1", "same": [1, 2], "long": "x" * 100}
    new = {"train.epochs": 40, "b": None, "file x": "2", "same": [1, 2], "long": "y" * 100}
    found = changes({**old, "compared with qat": "1" * 64}, {**new, "compared with qat": "2" * 64})
    assert "compared with qat changed" in found
    assert "train.epochs 30 → 40" in found
    assert "a 1 → (unset)" in found
    assert "b (unset) → null" in found
    assert "file x changed" in found
    assert not any(line.startswith("same") for line in found)
    assert max(map(len, found)) < 120


def test_a_table_in_place_of_nothing_is_said_once() -> None:
    """Setting an unset table, or removing it, names the table's keys and not the table as well."""
    unset, table = {"search": None}, {"search.bits": [8, 4], "search.max_drop": 0.01}
    assert changes(unset, table) == [
        "search.bits (unset) → [8, 4]", "search.max_drop (unset) → 0.01",
    ]  # fmt: skip
    assert changes(table, unset) == [
        "search.bits [8, 4] → (unset)", "search.max_drop 0.01 → (unset)",
    ]  # fmt: skip
    assert changes(unset, {"searching": 1}) == ["search null → (unset)", "searching (unset) → 1"]


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
