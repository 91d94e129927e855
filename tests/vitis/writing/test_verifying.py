"""Checks of a folder, of the compiler's md5sum.txt, of the board; and the commands."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import typer
from tests.vitis.xir.networks import convolutions, formats_of
from typer.testing import CliRunner

from nibblefit.errors import InputError, LimitError
from nibblefit.results import Status
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing import command
from nibblefit_vitis.writing.files import write_all
from nibblefit_vitis.writing.verifying import verify
from nibblefit_vitis.xir import command as xmodel_command

B4096 = "0x0101000056010407"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a written folder with a compiled file and its md5sum.txt."""
    graph = convolutions()
    place = tmp_path / "files"
    write_all(place, graph, formats_of(graph), NetworkSetting(), "kv260")
    compiled = place / "compiled"
    compiled.mkdir()
    (compiled / "Net.xmodel").write_bytes(b"compiled")
    digest = hashlib.md5(b"compiled", usedforsecurity=False).hexdigest()
    (compiled / "md5sum.txt").write_text(f"{digest}  ./Net.xmodel\n")
    return place


def failures(folder: Path, md5: Path | None = None, fingerprint: str = "") -> list[str]:
    """Return the rules that failed."""
    found = verify(folder, md5, fingerprint)
    assert found
    return [entry.rule for entry in found if entry.status is not Status.PASSED]


def test_an_untouched_folder_passes(folder: Path) -> None:
    """Files, compiled file and fingerprint, written with or without leading zeros."""
    assert failures(folder) == []
    for fingerprint in (B4096, "0x101000056010407", "0X101000056010407"):
        assert failures(folder, folder / "compiled/md5sum.txt", fingerprint) == []


def test_a_list_of_nothing_is_no_proof(folder: Path) -> None:
    """An empty list of digests is damage; a folder without one is another folder."""
    (folder / "checksums.json").write_text("{}")
    with pytest.raises(InputError, match="no list of files with their digests"):
        verify(folder)
    with pytest.raises(InputError, match="no folder of the compile stage"):
        verify(folder / "compiled")


def test_a_missing_arch_file_is_a_failed_check(folder: Path) -> None:
    """Files and fingerprint are both reported, not the first trouble alone."""
    (folder / "arch.json").unlink()
    assert failures(folder, fingerprint=B4096) == ["vitis.files", "vitis.fingerprint"]


def test_changed_and_missing_files_are_found(folder: Path) -> None:
    """Each is named."""
    (folder / "arch.json").write_text('{"fingerprint": "0x1"}')
    (folder / "Net_int.onnx").unlink()
    found = [entry for entry in verify(folder) if entry.status is not Status.PASSED]
    assert sorted(entry.where for entry in found) == ["Net_int.onnx", "arch.json"]
    assert failures(folder, fingerprint="0x1") == ["vitis.files", "vitis.files"]


def test_a_cut_off_compiled_file_is_found(folder: Path) -> None:
    """Its digest is another one; a file that was not copied is named."""
    compiled = folder / "compiled/Net.xmodel"
    compiled.write_bytes(b"compile")
    assert failures(folder, folder / "compiled/md5sum.txt") == ["vitis.md5"]
    compiled.unlink()
    assert failures(folder, folder / "compiled/md5sum.txt") == ["vitis.md5"]


def test_a_digest_alone_speaks_of_the_file_beside_it(folder: Path) -> None:
    """The compiler writes the digest with or without a name."""
    md5 = folder / "compiled/md5sum.txt"
    digest = md5.read_text().split()[0]
    md5.write_text(f"{digest.upper()}\n")
    assert failures(folder, md5) == []
    (folder / "compiled/other.xmodel").write_bytes(b"?")
    assert failures(folder, md5) == ["vitis.md5"]


def test_another_boards_fingerprint_fails(folder: Path) -> None:
    """The hint says what to do, and that switching the check off does not help."""
    (found,) = [entry for entry in verify(folder, None, "0x101000056010406")
                if entry.status is not Status.PASSED]  # fmt: skip
    assert found.rule == "vitis.fingerprint"
    assert "target.arch to 0x101000056010406" in found.hint


def test_arch_json_may_name_the_dpu(folder: Path) -> None:
    """AMD's files state a name or a number."""
    (folder / "arch.json").write_text('{"target": "DPUCZDX8G_ISA1_B4096"}')
    assert "vitis.fingerprint" not in failures(folder, None, B4096)


@pytest.mark.parametrize(
    ("name", "content", "fingerprint", "words"),
    [
        ("arch.json", "{}", B4096, "neither fingerprint nor target"),
        ("arch.json", "?", B4096, "no JSON"),
        ("arch.json", '{"target": "none"}', B4096, "no DPU or board"),
        ("checksums.json", "?", "", "no JSON"),
        ("checksums.json", "[]", "", "damaged"),
        ("checksums.json", '{"../x": "0"}', "", "outside"),
        ("README.md", "", "twelve", "no fingerprint"),
        ("README.md", "", "0x10101000056010407ff", "no fingerprint"),
    ],
)  # fmt: skip
def test_damaged_folders_are_refused(
    folder: Path, name: str, content: str, fingerprint: str, words: str
) -> None:
    """One line says which file and why."""
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=words):
        verify(folder, None, fingerprint)


@pytest.mark.parametrize("content", [b"", b"no digest", b"\xff\xfe\xff"])
def test_foreign_md5_files_are_refused(folder: Path, content: bytes) -> None:
    """A file without digests is no md5sum.txt."""
    md5 = folder / "compiled/md5sum.txt"
    md5.write_bytes(content)
    with pytest.raises(InputError, match=r"md5sum\.txt"):
        verify(folder, md5)
    with pytest.raises(InputError, match="cannot be read"):
        verify(folder, folder / "none.txt")


@pytest.fixture
def app() -> typer.Typer:
    """Return an application with both commands."""
    app = typer.Typer()
    command.add(app)
    xmodel_command.add(app)
    return app


def test_verify_prints_and_fails(folder: Path, app: typer.Typer) -> None:
    """Passed checks are lines or JSON; a failed one ends the command with its hint."""
    runner = CliRunner()
    printed = runner.invoke(app, ["verify", str(folder)])
    assert printed.exit_code == 0
    assert "passed  arch.json is as written" in printed.output
    found = json.loads(runner.invoke(app, ["verify", str(folder), "--json"]).output)
    assert {entry["status"] for entry in found} == {"passed"}
    failed = runner.invoke(app, ["verify", str(folder), "--fingerprint", "0x1"])
    assert isinstance(failed.exception, LimitError)
    assert "1 of" in str(failed.exception)


def test_xmodel_lists_operators(folder: Path, app: typer.Typer) -> None:
    """Names, types, shapes and fix positions, as a table or with attributes as JSON."""
    runner = CliRunner()
    file = str(folder / "Net_int.xmodel")
    printed = runner.invoke(app, ["xmodel", file], env={"COLUMNS": "200"})
    assert printed.exit_code == 0
    assert "depthwise-conv2d" in printed.output
    body = json.loads(runner.invoke(app, ["xmodel", file, "--json"]).output)
    by_name = {entry["name"]: entry for entry in body["operators"]}
    fix = by_name["Net__input_0_fix"]
    assert fix["attributes"]["fix_point"] == 4
    assert (fix["shape"], fix["data_type"]) == ([1, 9, 7, 4], "FLOAT32")
    assert by_name["Net__plain_weight"]["attributes"]["data"] == f"{6 * 9 * 4 * 4} bytes"
    assert body["unknown_fields"] == []
