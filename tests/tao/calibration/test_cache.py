"""Calibration caches: real ones of TensorRT, ours, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit_tao.calibration.cache import from_ranges, header, read_cache, write_cache

#: Real caches of TensorRT 6, and those made from the rule scale = amax / 127.
FILES = (
    "inception_v1", "mobilenet_v2", "resnet50", "vgg16", "qat_TRT-100300-EntropyCalibration2",
    "qat_TRT-8502-EntropyCalibration2", "qat_TRT-8502-MinMaxCalibration",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_vendor_caches_are_read_and_written_back_byte_by_byte(
    shared: Path, tmp_path: Path, name: str
) -> None:
    """Header, number, extremes, first and last entries as recorded; the same bytes again."""
    folder = shared / "vendor" / "tao" / "calib"
    file = folder / f"{name}.cache"
    cache = read_cache(file)
    write_cache(cache, tmp_path / "again.cache")
    assert (tmp_path / "again.cache").read_bytes() == file.read_bytes()
    expected = json.loads((folder / "expected_summary.json").read_text()).get(file.name)
    if expected is not None:
        scales = [(tensor, float(scale)) for tensor, scale in cache.scales.items()]
        assert cache.header == expected["header"]
        assert len(scales) == expected["n"]
        assert min(s for _, s in scales) == expected["min"]
        assert max(s for _, s in scales) == expected["max"]
        assert scales[:3] == [tuple(entry) for entry in expected["first"]]
        assert scales[-2:] == [tuple(entry) for entry in expected["last"]]


@pytest.mark.parametrize(
    ("name", "version", "algorithm"),
    [
        ("qat_TRT-8502-EntropyCalibration2", "8.5.2", "EntropyCalibration2"),
        ("qat_TRT-8502-MinMaxCalibration", "8.5.2", "MinMaxCalibration"),
        ("qat_TRT-100300-EntropyCalibration2", "10.3.0", "EntropyCalibration2"),
    ],
)
def test_caches_made_from_ranges_are_the_vendors(
    shared: Path, name: str, version: str, algorithm: str
) -> None:
    """Scales, headers of both ways of numbering versions, denormals and zero."""
    folder = shared / "vendor" / "tao" / "calib"
    ranges = json.loads((folder / "qat_tensor_scales.json").read_text())["tensor_scales"]
    cache = from_ranges(ranges, header(version, algorithm))
    assert cache.text() == (folder / f"{name}.cache").read_text()


def test_headers_number_versions_as_tensorrt_does() -> None:
    """Up to 9 in thousands, from 10 in ten thousands."""
    assert header("8.5.2") == "TRT-8502-EntropyCalibration2"
    assert header("10.14.1") == "TRT-101401-EntropyCalibration2"
    assert header("9.3", "MinMaxCalibration") == "TRT-9300-MinMaxCalibration"
    with pytest.raises(InputError, match="no version of TensorRT"):
        header("ten")
    with pytest.raises(InputError, match="no calibration algorithm"):
        header("10.3.0", "Guess")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1).filter(
    str.strip
)


@given(st.dictionaries(NAMES, st.floats(0, 1e30), min_size=1))
def test_any_ranges_survive_a_file(tmp_path_factory: pytest.TempPathFactory,
                                   ranges: dict[str, float]) -> None:  # fmt: skip
    """Names of any letters, colons, blanks and odd ends of lines among them; every float32."""
    path = tmp_path_factory.mktemp("cache") / "x.cache"
    cache = from_ranges(ranges, header("10.3.0"))
    write_cache(cache, path)
    again = read_cache(path)
    assert again.header == cache.header
    assert list(again.scales) == list(cache.scales)
    assert [s.tobytes() for s in again.scales.values()] == [
        s.tobytes() for s in cache.scales.values()
    ]
    assert again.ranges() == {n: float(np.float32(v / 127)) * 127 for n, v in ranges.items()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: '' is no header"),
        ("TRT-8502\nx: 3f\n", "line 1: 'TRT-8502' is no header"),
        ("TRT-8502-EntropyCalibration2\n", "bad.cache holds no tensor"),
        ("TRT-8502-EntropyCalibration2\nx: 3f000000\ny: 3f00", "line 3: the file ends within the"),
        ("TRT-8502-EntropyCalibration2\n: 3f000000\n", "line 2: expected 'tensor: scale"),
        ("TRT-8502-EntropyCalibration2\nx: 80000000\n", "line 2: the scale of 'x' is -0"),
        ("TRT-8502-EntropyCalibration2\nx 3f000000\n", "line 2: expected 'tensor: scale"),
        ("TRT-8502-EntropyCalibration2\n\nx: 3f000000zz\n", "line 3: expected"),
        ("TRT-8502-EntropyCalibration2\nx: 7f800000\n", "line 2: the scale of 'x' is inf"),
        ("TRT-8502-EntropyCalibration2\nx: bf800000\n", "line 2: the scale of 'x' is -1"),
        ("TRT-8502-EntropyCalibration2\nx: 0\nx: 0\n", "line 3: tensor 'x' stands there twice"),
    ],
)
def test_damaged_caches_are_refused_by_line(tmp_path: Path, text: str, words: str) -> None:
    """One line that names the file and the line."""
    (tmp_path / "bad.cache").write_text(text)
    with pytest.raises(InputError, match=words):
        read_cache(tmp_path / "bad.cache")


SOUND = "TRT-8502-EntropyCalibration2\nInput: 3f98401e\nconv1/Relu:0: 3d418306\nr s: 3ca14285\n"


@given(st.data())
def test_random_damage_is_refused_or_read_as_it_stands(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed, put in, taken out: an error of one line, or what the file says, no other."""
    path, content = tmp_path_factory.mktemp("cache") / "x.cache", bytearray(SOUND.encode())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 12)))
        content[start:stop] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    cache, error = None, None
    try:
        cache = read_cache(path)
    except InputError as caught:
        error = caught
    if cache is None:
        assert error is not None
        assert error.what.isprintable()
        assert str(path) in error.what
        return
    lines = [line for line in content.decode().replace("\r\n", "\n").split("\n") if line.strip()]
    again = cache.text().split("\n")[:-1]
    assert len(again) == len(lines) == len(cache.scales) + 1
    for ours, theirs in zip(again[1:], lines[1:], strict=True):
        name, _, digits = ours.rpartition(": ")
        assert theirs.startswith(f"{name}: ")
        assert int(theirs.removeprefix(f"{name}: ").rstrip(" \r"), 16) == int(digits, 16)


@given(st.integers(1, len(SOUND) - 1))
def test_a_file_that_was_cut_off_is_refused_or_whole_to_its_last_line(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    """No scale is ever half read: those that are there are those of the whole file."""
    path = tmp_path_factory.mktemp("cache") / "x.cache"
    path.write_text(SOUND)
    whole = read_cache(path).scales
    path.write_text(SOUND[:length])
    try:
        part = read_cache(path).scales
    except InputError:
        return
    assert part == {name: scale for name, scale in whole.items() if name in part}


def test_old_headers_missing_files_and_bad_ranges(tmp_path: Path) -> None:
    """A first line of 1 is read; what cannot be written is refused."""
    (tmp_path / "old.cache").write_text("1\ndata: 3caa54fc\n")
    assert list(read_cache(tmp_path / "old.cache").scales) == ["data"]
    with pytest.raises(InputError, match=r"none\.cache cannot be read: No such file"):
        read_cache(tmp_path / "none.cache")
    (tmp_path / "old.cache").write_bytes(b"TRT-8502-EntropyCalibration2\nx\xaa: 3f000000\n")
    with pytest.raises(InputError, match="it is no text"):
        read_cache(tmp_path / "old.cache")
    with pytest.raises(InputError, match="range of tensor 'x' is nan"):
        from_ranges({"x": float("nan")}, "1")
    with pytest.raises(InputError, match="which a cache cannot hold"):
        from_ranges({"x\ny": 1.0}, "1")
