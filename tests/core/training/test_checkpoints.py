"""Checkpoints: whole or refused."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nibblefit.errors import InputError, WorkspaceError
from nibblefit.training.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from nibblefit.training.history import write_history

STATE = {"epoch": 3, "weights": {"a": torch.arange(5.0)}, "names": ["x"], "value": 0.1}


def test_content_reads_back(tmp_path):
    """Tensors, numbers, strings and nesting come back equal."""
    found = load_checkpoint(save_checkpoint(tmp_path / "new", 3, STATE))
    assert found["weights"]["a"].equal(STATE["weights"]["a"])
    assert {k: v for k, v in found.items() if k != "weights"} == {
        k: v for k, v in STATE.items() if k != "weights"
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_noticed(tmp_path, data):
    """A flipped bit or a cut anywhere in the file gives an input error."""
    path = save_checkpoint(tmp_path, 1, STATE)
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        position = data.draw(st.integers(0, 8 * len(whole) - 1))
        whole[position // 8] ^= 1 << position % 8
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]
    path.write_bytes(whole)
    with pytest.raises(InputError):
        load_checkpoint(path)


class Evil:
    """Runs a command when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_code_is_never_executed(tmp_path):
    """A well-formed file around a pickle with code is refused, and the code does not run."""
    marker = tmp_path / "executed"
    path = save_checkpoint(tmp_path, 1, STATE)
    payload = pickle.dumps({"epoch": Evil(marker)}, protocol=2)
    magic = path.read_bytes().split(b"\n")[0] + b"\n"
    path.write_bytes(magic + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(path)
    assert not marker.exists()


def test_newest_first_and_old_ones_go(tmp_path):
    """Two are kept, in order; a draft left by a kill is no checkpoint; bad ones are told."""
    for epoch in (1, 2, 10):
        save_checkpoint(tmp_path, epoch, {**STATE, "epoch": epoch})
    (tmp_path / "epoch-000011.part").write_bytes(b"half")
    found = list(checkpoints(tmp_path))
    assert [state["epoch"] for _, state in found] == [10, 2]
    found[0][0].write_bytes(b"x")
    kinds = [type(state) for _, state in checkpoints(tmp_path)]
    assert kinds == [InputError, dict]
    assert list(checkpoints(tmp_path / "none")) == []


def test_other_content_is_refused(tmp_path):
    """A file that holds no mapping is an input error."""
    with pytest.raises(InputError, match="expected a mapping"):
        load_checkpoint(save_checkpoint(tmp_path, 1, [1]))


def test_full_disk_is_explained_and_keeps_the_previous(tmp_path, monkeypatch):
    """A failing write is a workspace error, and the checkpoint before it is still there."""
    save_checkpoint(tmp_path, 1, STATE)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        save_checkpoint(tmp_path, 2, STATE)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WorkspaceError, match="No space left"):
        write_history(tmp_path, [{"epoch": 1.0}])
    assert [state["epoch"] for _, state in checkpoints(tmp_path)] == [3]
