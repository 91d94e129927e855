"""Pickles with code in them: refused, and not one byte of theirs is executed."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.robustness.commands import assert_refused, here, short_run, training
from tests.robustness.inputs import KINDS, network
from tests.robustness.runs import digests

from nibblefit.errors import InputError
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.reading.network import read_files


class Bomb:
    """Unpickled, creates a file: the sentinel."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


def _torch_zip(value: object, path: Path) -> None:
    torch.save(value, path)


def _torch_legacy(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def _bare(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


WRITERS: dict[str, Callable[[object, Path], None]] = {
    "zip": _torch_zip, "legacy": _torch_legacy, "bare": _bare,
}  # fmt: skip


@pytest.fixture
def sentinel(tmp_path: Path) -> Path:
    """Return the file that exists once a bomb has gone off."""
    return tmp_path / "executed"


@pytest.mark.parametrize("writer", WRITERS)
def test_the_bombs_of_these_tests_work(writer: str, sentinel: Path, tmp_path: Path) -> None:
    """Loaded carelessly each creates its sentinel; otherwise these tests would prove nothing."""
    WRITERS[writer](Bomb(sentinel), tmp_path / "x.pt")
    if writer == "bare":
        pickle.loads((tmp_path / "x.pt").read_bytes())
    else:
        torch.load(tmp_path / "x.pt", weights_only=False)
    assert sentinel.exists()


def _recipe(folder: Path, model: str, data: str = "") -> list[str]:
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f'[model]\n{model}\ninput_shape = [1, 8, 8]\n{data}\n[target]\nname = "generic"\n'
    )
    return ["prepare", str(recipe), "--folder", str(folder / "run")]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("ending", ["pt", "pth", "pkl", "ckpt", "bin"])
def test_pickle_as_network(writer: str, ending: str, sentinel: Path, tmp_path: Path) -> None:
    """`model.source` names a pickle: refused unread, with how to convert it."""
    path = tmp_path / f"model.{ending}"
    WRITERS[writer](Bomb(sentinel), path)
    words = _recipe(tmp_path, f'source = "{path.name}"')
    assert_refused(here(*words), 2, path.name, "not opened", "torch.save(model.state_dict()")
    inspect = here("inspect", str(path), "--target", "generic", "--input-shape", "1,8,8")
    assert_refused(inspect, 2, path.name)
    assert not sentinel.exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_pickle_called_onnx(writer: str, sentinel: Path, tmp_path: Path) -> None:
    """A pickle in a file named .onnx is no ONNX file."""
    WRITERS[writer](Bomb(sentinel), tmp_path / "net.onnx")
    assert_refused(here(*_recipe(tmp_path, 'source = "net.onnx"')), 2, "net.onnx")
    assert not sentinel.exists()


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("ending", ["pt", "bin", "npz", "safetensors"])
def test_pickle_as_state_dict(writer: str, ending: str, sentinel: Path, tmp_path: Path) -> None:
    """A state dict with one entry that is code: refused, and named."""
    KINDS["pt"].make(tmp_path)
    state = {**network().state_dict(), "0.bias": Bomb(sentinel)}
    path = tmp_path / f"bomb.{ending}"
    WRITERS[writer](state, path)
    words = _recipe(tmp_path, f'source = "net.py:build"\nweights = "{path.name}"')
    assert_refused(here(*words), 2, path.name)
    assert not sentinel.exists()


def test_whole_module_as_state_dict(tmp_path: Path) -> None:
    """`torch.save(model)` instead of its state dict: refused, with how to convert it."""
    KINDS["pt"].make(tmp_path)
    torch.save(network(), tmp_path / "whole.pt")
    words = _recipe(tmp_path, 'source = "net.py:build"\nweights = "whole.pt"')
    assert_refused(here(*words), 2, "whole.pt", "state_dict")


def test_object_arrays_in_npz(sentinel: Path, tmp_path: Path) -> None:
    """Files .npz, of data and of weights, whose arrays hold pickled objects."""
    KINDS["data-npz"].make(tmp_path)
    bombs = np.array([Bomb(sentinel)] * 60, object)
    np.savez(tmp_path / "data.npz", x=bombs, y=np.arange(60) % 4)
    data = '[data]\nsource = "npz"\npath = "data.npz"'
    assert_refused(here(*_recipe(tmp_path, 'source = "net.py:build"', data), "--set",
                        "model.input_shape=[]"), 2, "data.npz")  # fmt: skip
    np.savez(tmp_path / "weights.npz", **{"0.weight": bombs})
    words = _recipe(tmp_path, 'source = "net.py:build"\nweights = "weights.npz"')
    assert_refused(here(*words), 2, "weights.npz")
    assert not sentinel.exists()


@pytest.mark.parametrize("writer", WRITERS)
def test_maxim_checkpoint(writer: str, maxim_run: Path, sentinel: Path, tmp_path: Path) -> None:
    """The chip's checkpoint with code in it: refused by the reader."""
    (compiled,) = (maxim_run / "stages").glob("*-compile")
    path = tmp_path / "checkpoint-q.pth.tar"
    content = torch.load(compiled / path.name, weights_only=True)
    WRITERS[writer]({**content, "extras": Bomb(sentinel)}, path)
    with pytest.raises(InputError, match=path.name):
        read_files(compiled / "network.yaml", path, (1, 8, 8), part_named("max78000"))
    assert not sentinel.exists()


def test_sample_input_with_objects(maxim_run: Path, sentinel: Path, tmp_path: Path) -> None:
    """A finished run whose files were replaced by bombs: made anew, never opened."""
    folder = Path(shutil.copytree(maxim_run, tmp_path / "run"))
    bomb = np.array([Bomb(sentinel)], object)
    for path in folder.rglob("*"):
        if path.suffix == ".npy":
            np.save(path, bomb, allow_pickle=True)
        elif path.suffix == ".npz" and "06-quantize" in path.parts:
            np.savez(path, codes=bomb)
        elif path.suffix == ".tar":
            torch.save(Bomb(sentinel), path)
    outcome = here(*short_run("digits_maxim.toml", folder))
    assert outcome.code == 0, outcome.err
    assert digests(folder) == digests(maxim_run)
    assert not sentinel.exists()


def test_training_checkpoint_in_the_run_folder(
    stopped_training: Path, sentinel: Path, tmp_path: Path
) -> None:
    """Bombs in place of a stopped training's checkpoints, one with a right digest."""
    folder = Path(shutil.copytree(stopped_training, tmp_path / "run"))
    older, newest = sorted(folder.glob("scratch/float/*/epoch-*.ckpt"))[-2:]
    magic = newest.read_bytes().split(b"\n")[0]
    payload = io.BytesIO()
    torch.save({"state": Bomb(sentinel)}, payload)
    digest = hashlib.sha256(payload.getvalue()).hexdigest().encode()
    newest.write_bytes(magic + b"\n" + digest + b"\n" + payload.getvalue())
    _torch_zip(Bomb(sentinel), older)
    outcome = here(*training(folder))
    assert outcome.code == 0, outcome.err
    assert not sentinel.exists()


def test_archives_within_archives(sentinel: Path, tmp_path: Path) -> None:
    """A zip that only looks like a torch archive does not reach an unpickler either."""
    KINDS["pt"].make(tmp_path)
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(sentinel)))
        archive.writestr("archive/version", "3")
    words = _recipe(tmp_path, 'source = "net.py:build"\nweights = "odd.pt"')
    assert_refused(here(*words), 2, "odd.pt")
    assert not sentinel.exists()
