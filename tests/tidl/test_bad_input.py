"""Bad input from the command line: one clear line, and the exit code of its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tidl.caffe.networks import header, layer
from tests.tidl.caffe.wire import blob
from tests.tidl.caffe.wire import layer as stored

from nibblefit.cli import main

NETWORK = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))

def strange():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ELU(), nn.Flatten(), nn.Linear(144, 10))
"""
CONVOLUTION = layer("a", "Convolution", "convolution_param { num_output: 2 kernel_size: 1 }")


def text_of(values: dict[str, Any]) -> str:
    """Return a recipe of plain sections as TOML, whose values are spelt as in JSON."""
    lines = []
    for section, entries in values.items():
        lines.append(f"[{section}]")
        for key, value in entries.items():
            if isinstance(value, dict):
                inner = ", ".join(f"{name} = {json.dumps(one)}" for name, one in value.items())
                lines.append(f"{key} = {{ {inner} }}")
            else:
                lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a network file, and work in it."""
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "net.pb").write_bytes(b"frozen")
    (tmp_path / "net.bin").write_bytes(b"what is this")
    (tmp_path / "net.prototxt").write_text(header(1, 8, 8) + CONVOLUTION)
    (tmp_path / "lrn.prototxt").write_text(header(1, 8, 8) + layer("n", "LRN"))
    whole = stored("a", "Convolution", [blob((2, 1, 1, 1), [1, 2]), blob((2,), [0, 0])])
    (tmp_path / "net.caffemodel").write_bytes(whole[:-5])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, name: str, target: dict[str, Any], **sections: Any) -> int:
    """Run a recipe up to its first step."""
    values = {
        "model": {"source": "net.py:build"}, "target": {"name": name, **target},
        "train": {"epochs": 1}, **sections,
    }  # fmt: skip
    (folder / "recipe.toml").write_text(text_of(values))
    return main(["run", "recipe.toml", "--folder", str(folder / "run"), "--until", "prepare"])


BOTH = ("tidl", "tidl-classic")
DENSE = {"sparsify": False}


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("target", "sections", "reason", "code"),
    [
        (DENSE, {"model": {"source": "net.pb"}}, "TensorFlow", 4),
        (DENSE, {"model": {"source": "net.bin"}}, "net.bin", 2),
        (DENSE, {"model": {"source": "lrn.prototxt", "arguments": {"missing": "fill"}}}, "LRN", 4),
        (DENSE, {"model": {"source": "net.py:strange"}}, "elu", 4),
        (DENSE, {"model": {"source": "net.prototxt", "weights": "net.caffemodel"}},
         "net.caffemodel", 2),
        ({**DENSE, "front": "folded"}, {"data": {"source": "digits", "mean": [0.5]}},
         "it pads with zeros", 4),
        ({**DENSE, "front_border": "pad"}, {}, "have no effect", 2),
        ({**DENSE, "part": "esp32"}, {}, "esp32", 2),
        ({**DENSE, "l2": -1.0}, {}, "target.l2", 2),
    ],
)  # fmt: skip
def test_what_cannot_be_read_or_run_is_one_line(  # noqa: PLR0917 - cases
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, target: dict[str, Any],
    sections: dict[str, Any], reason: str, code: int,
) -> None:  # fmt: skip
    """Unknown formats, unsupported layers, options that contradict, files cut short."""
    assert run(folder, name, target, **sections) == code
    said = capsys.readouterr().err
    assert reason.lower() in said.lower()
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if reason.lower() in line.lower()]
    assert len(lines) <= 2


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ({"part": "tda4vm", "quantization_scale_type": 4}, "zero points"),
        ({"part": "tda4vm", "accuracy_level": 9, "channel_wise_quantization": True},
         "one weight scale per channel"),
        ({"tensor_bits": 16, "output_feature_16bit_names": ["0"]}, "mixed precision starts"),
        ({"high_resolution_optimization": True, "mixed_precision_factor": 1.5}, "excludes"),
        ({"qat": True, "tensor_bits": 32}, "nothing to train"),
        ({"weight_clipping": False}, "target: weight_clipping has no effect without"),
    ],
)  # fmt: skip
def test_options_of_the_current_target_that_conflict_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], target: dict[str, Any], reason: str
) -> None:
    """Before anything runs, with exit code 2."""
    assert run(folder, "tidl", target) == 2
    assert reason in capsys.readouterr().err
    assert not (folder / "run" / "stages").exists()
