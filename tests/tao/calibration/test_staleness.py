"""Caches of other models and versions are told, by what shows it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from tests.core.targets.test_generic import _without_up

from nibblefit.cli.entry import main
from nibblefit.errors import InputError
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.quantization.fold import fold
from nibblefit_tao.calibration.cache import CalibrationCache, from_ranges, header, write_cache
from nibblefit_tao.calibration.staleness import require_fresh, stale


@pytest.fixture
def model() -> onnx.ModelProto:
    """Return a float model."""
    return to_onnx(fold(_without_up()))


def cache(*names: str, version: str = "10.3.0") -> CalibrationCache:
    """Return a cache with scales for some tensors."""
    return from_ranges(dict.fromkeys(names, 1.0), header(version))


def test_a_cache_of_the_model_is_fresh(model: onnx.ModelProto) -> None:
    """With both ways of numbering versions; tensors without a scale are no fault."""
    assert stale(cache("x", "r1"), model, "10.3.0") == ()
    assert stale(cache("x", version="8.5.2"), model, "8.5.2") == ()
    assert stale(cache("x", version="8.5.2"), model) == ()


def test_everything_stale_is_told(model: onnx.ModelProto, tmp_path: Path) -> None:
    """Version, foreign tensors, inputs without a scale, in one line."""
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path))
    with pytest.raises(InputError) as caught:
        require_fresh(cache("a", "b", "c", "d", "e", version="8.5.2"), path, "10.3.0")
    text = caught.value.what
    assert "'TRT-8502-EntropyCalibration2', TensorRT 10.3.0 wants TRT-100300 and skips it" in text
    assert "the model has no 'a', 'b', 'c' and 2 more" in text
    assert "no scale for the input 'x'" in text
    require_fresh(cache("x"), path)


def test_the_command_refuses_stale_caches(
    model: onnx.ModelProto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the reason; a fresh one is printed; a version alone says nothing."""
    path, good, bad = tmp_path / "model.onnx", tmp_path / "good.cache", tmp_path / "bad.cache"
    onnx.save(model, str(path))
    write_cache(cache("x"), good)
    write_cache(cache("y"), bad)
    asked = ["--for", str(path), "--tensorrt", "10.3.0"]
    assert main(["tao", "cache", str(good), *asked]) == 0
    assert "TRT-100300" in capsys.readouterr().out
    assert main(["tao", "cache", str(bad), *asked]) == 2
    assert "the model has no 'y'" in capsys.readouterr().err.replace("\n", " ")
    assert main(["tao", "cache", str(good), *asked[:-1], "8.5.2"]) == 2
    assert main(["tao", "cache", str(good), *asked[2:]]) == 2


def test_no_cache_is_for_a_version_that_reads_none(model: onnx.ModelProto) -> None:
    """Whatever its first line; quantizers in the model are the only way there."""
    (problem,) = stale(cache("x", version="11.5"), model, "11.5")
    assert problem == "TensorRT 11.5 reads no caches, only quantizers in the model"


def test_an_old_first_line_has_no_version(model: onnx.ModelProto) -> None:
    """Such as older code paths write."""
    (problem,) = stale(CalibrationCache("1", cache("x").scales), model, "8.5.2")
    assert problem.startswith("its first line is '1'")
