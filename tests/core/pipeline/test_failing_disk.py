"""Disks that are full, read-only or fail at any write."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.core.pipeline.toys import Toy, go, ran, toy_recipe

from nibblefit.errors import WorkspaceError
from nibblefit.workspace import storage
from nibblefit.workspace.storage import new_sibling, swap_in, write_file


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
