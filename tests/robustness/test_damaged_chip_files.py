"""Damaged files of a chip: YAML, checkpoint and QDQ ONNX are read as they are, or explained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.robustness.damage import damaged

from nibblefit.errors import InputError, NibblefitError, UnsupportedError
from nibblefit.quantization.qdq.reading import read_qdq
from nibblefit.targets.generic import meaning_of
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.reading.network import read_files

_YAML, _CHECKPOINT, _ONNX = "network.yaml", "checkpoint-q.pth.tar", "model.onnx"


def _read_maxim(folder: Path) -> object:
    return read_files(folder / _YAML, folder / _CHECKPOINT, (1, 8, 8), part_named("max78000"))


def _read_generic(folder: Path) -> object:
    return read_qdq(folder / _ONNX, "generic", meaning_of)


def _read_damaged(path: Path, read: Callable[[Path], object], numbers: range) -> int:
    read(path.parent)
    whole, refused = path.read_bytes(), 0
    for number in numbers:
        path.write_bytes(damaged(whole, number))
        try:
            read(path.parent)
        except NibblefitError as error:
            refused += 1
            if not isinstance(error, InputError | UnsupportedError):
                error.add_note(f"damage {number} of {path.name}")
                raise
        except BaseException as error:
            error.add_note(f"damage {number} of {path.name}")
            raise
    return refused


def _copied(run: Path, folder: Path) -> Path:
    (compiled,) = (run / "stages").glob("*-compile")
    return Path(shutil.copytree(compiled, folder / "compiled"))


@pytest.mark.parametrize("name", [_YAML, _CHECKPOINT])
def test_damaged_chip_file_is_read_or_explained(name: str, maxim_run: Path, tmp_path: Path) -> None:
    """YAML and checkpoint of a finished run, sixty damaged versions each."""
    path = _copied(maxim_run, tmp_path) / name
    assert _read_damaged(path, _read_maxim, range(60)) > 20


def test_damaged_integer_onnx_is_read_or_explained(generic_run: Path, tmp_path: Path) -> None:
    """The file that the target generic writes, sixty damaged versions."""
    path = _copied(generic_run, tmp_path) / _ONNX
    assert _read_damaged(path, _read_generic, range(60)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", [_YAML, _CHECKPOINT])
def test_many_damaged_chip_files_are_read_or_explained(
    name: str, maxim_run: Path, tmp_path: Path
) -> None:
    """A thousand more of each."""
    _read_damaged(_copied(maxim_run, tmp_path) / name, _read_maxim, range(60, 1060))


@pytest.mark.slow
def test_many_damaged_integer_onnx_files_are_read_or_explained(
    generic_run: Path, tmp_path: Path
) -> None:
    """A thousand more."""
    _read_damaged(_copied(generic_run, tmp_path) / _ONNX, _read_generic, range(60, 1060))


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\x00", b"\x80abc", b"[" * 600, b"a: " + b"{b: " * 3000, b"- " * 4000,
        b"&a [*a]", b"!!python/object/apply:os.system ['touch x']", b"", b"\x00", b"arch: [",
        b"arch: x\ndataset: y\nlayers: " + b"9" * 9000, b"arch: x\ndataset: y\nlayers: []\n",
        b"arch: x\ndataset: y\nlayers:\n  - {out_offset: 1e99, processors: 0x1}\n",
        b"arch: x\ndataset: y\nlayers:\n  - {out_offset: .inf, processors: .nan}\n",
    ],
)  # fmt: skip
def test_text_that_is_no_network_is_explained(text: bytes, maxim_run: Path, tmp_path: Path) -> None:
    """Bytes, depth, aliases, tags and numbers that a YAML of a chip never holds."""
    folder = _copied(maxim_run, tmp_path)
    (folder / _YAML).write_bytes(text)
    with pytest.raises(InputError, match=_YAML):
        _read_maxim(folder)
