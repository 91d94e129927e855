"""The command that shows, checks and rewrites calibration caches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nibblefit.cli.entry import main
from nibblefit.errors import InputError
from nibblefit_tao.calibration.scales import read_scales, scales_text

TEXT = "TRT-8502-EntropyCalibration2\nInput: 3f98401e\nconv1/Relu:0: 3d418306\n"


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what went to the error output, on one line."""
    return " ".join(capsys.readouterr().err.split())


def test_scales_are_written_again_for_another_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the first line differs; the file says what it is."""
    old, new = tmp_path / "old.cache", tmp_path / "new.cache"
    old.write_text(TEXT)
    assert main(["tao", "cache", str(old), "--tensorrt", "10.14.1", "--out", str(new)]) == 0
    assert "new.cache" in capsys.readouterr().out
    assert new.read_text() == TEXT.replace("TRT-8502", "TRT-101401")


@pytest.mark.parametrize(
    ("version", "algorithm"), [("8.5.2", "TRT-8502"), ("10.3.0", "TRT-100300")]
)
def test_tensor_scales_become_the_vendors_cache(
    shared: Path, tmp_path: Path, version: str, algorithm: str
) -> None:
    """Byte by byte."""
    folder, out = shared / "vendor" / "tao" / "calib", tmp_path / "x.cache"
    asked = [str(folder / "qat_tensor_scales.json"), "--tensorrt", version, "--out", str(out)]
    assert main(["tao", "cache", *asked]) == 0
    assert out.read_bytes() == (folder / f"qat_{algorithm}-EntropyCalibration2.cache").read_bytes()


def test_scales_without_a_version_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table or as JSON, ranges as they stand in the file."""
    (tmp_path / "s.json").write_text(scales_text({"x": 6.0}))
    assert read_scales(tmp_path / "s.json") == {"x": 6.0}
    assert main(["tao", "cache", str(tmp_path / "s.json")]) == 0
    assert "no version" in capsys.readouterr().out
    assert main(["tao", "cache", str(tmp_path / "s.json"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["header"] == ""
    assert shown["ranges"]["x"] == pytest.approx(6.0, rel=1e-7)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "y"], "--out says nothing without a version"),
        (["--tensorrt", "10.3.0"], "--tensorrt says nothing without a model"),
        (["--out", "y", "--tensorrt", "11.5"], "TensorRT 11.5 reads no caches"),
        (["--out", "y", "--tensorrt", "ten"], "'ten' is no version of TensorRT"),
    ],
)
def test_options_that_say_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    options: list[str], words: str,
) -> None:  # fmt: skip
    """Exit code 2, a reason, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    Path("x.cache").write_text(TEXT)
    assert main(["tao", "cache", "x.cache", *options]) == 2
    assert words in told(capsys)
    assert not Path("y").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "holds no ranges"),
        ('{"tensor_scales": {}}', "holds no ranges"),
        ('{"tensor_scales": {"x": "6"}}', "the range of 'x' is 6"),
        ('{"tensor_scales": {"x": true}}', "the range of 'x' is True"),
        ('{"tensor_scales": {"x": NaN}}', "range of tensor 'x' is nan"),
        ('{"tensor_scales": {"x": -1}}', "range of tensor 'x' is -1.0"),
    ],
)
def test_damaged_scales_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    """Exit code 2 and one line for each."""
    (tmp_path / "s.json").write_text(text)
    assert main(["tao", "cache", str(tmp_path / "s.json")]) == 2
    assert words in told(capsys)


def test_scales_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A missing file, a folder, no text."""
    (tmp_path / "no.json").write_bytes(b"\xff\xfe")
    for name, words in (("a.json", "No such file"), ("no.json", "is no JSON")):
        with pytest.raises(InputError, match=words):
            read_scales(tmp_path / name)
