"""``nibblefit tidl lint`` and ``nibblefit tidl compare``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.tidl.networks import classifier, samples
from tests.tidl.qdq.models import initializer, made, node, replace

from nibblefit.cli import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a written QDQ model."""
    _, found = made("am68a", 4)
    onnx.save(found, str(tmp_path / "net.onnx"))
    return tmp_path / "net.onnx"


def _damaged(path: Path) -> Path:
    found = onnx.load(str(path))
    replace(found, "a.bias_scale", 2 * initializer(found, "a.bias_scale"))
    onnx.save(found, str(path))
    return path


def test_lint_prints_findings_and_exits_4_for_errors(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clean model ends in one line; a wrong one in rule, node and remedy."""
    assert main(["tidl", "lint", str(model)]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    assert main(["tidl", "lint", str(_damaged(model)), "--json"]) == 4
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["problems"][0]["rule"] == "bias.scale"
    assert found["problems"][0]["node"] == "a"
    assert "1 error" in err
    assert main(["tidl", "lint", str(model), "--part", "tda4vm"]) == 4
    assert "device.per_channel" in capsys.readouterr().out


def test_compare_prints_every_tensor(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With inputs of one's own, or random ones."""
    np.save(model.with_suffix(".npy"), samples(classifier(), 1))
    given = ["--inputs", str(model.with_suffix(".npy"))]
    assert main(["tidl", "compare", str(model), *given, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["total"]["unexplained"] == 0
    assert len(found["tensors"]) == 9
    np.savez(model.with_suffix(".npz"), x=samples(classifier(), 1))
    assert main(["tidl", "compare", str(model), "--inputs", str(model.with_suffix(".npz"))]) == 0
    assert "stem" in capsys.readouterr().out
    assert main(["tidl", "compare", str(model)]) == 0


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("a.npy", np.zeros((1, 3, 9, 9), np.float32), "expected float"),
        ("a.npy", np.zeros((1, 3, 12, 12), np.uint8), "holds uint8"),
        ("a.npy", None, "cannot be read"),
    ],
)
def test_compare_refuses_other_inputs(
    model: Path, capsys: pytest.CaptureFixture[str], name: str, values: object, reason: str
) -> None:
    """In one line."""
    path = model.parent / name
    if values is None:
        path.write_text("no array")
    else:
        np.save(path, np.asarray(values))
    assert main(["tidl", "compare", str(model), "--inputs", str(path)]) == 2
    assert reason in capsys.readouterr().err


def test_models_that_onnxruntime_refuses_say_so(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its message, and where to look."""
    found = onnx.load(str(model))
    entry = node(found, "head_float")
    entry.domain = "com.nobody"
    onnx.save(found, str(model))
    assert main(["tidl", "compare", str(model)]) == 4
    assert "Gemm" in capsys.readouterr().err
