"""``nibblefit vitis config`` and ``nibblefit vitis presets``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from nibblefit.errors import InputError, WorkspaceError
from nibblefit_vitis.configuration.command import add


def run(*words: str) -> str:
    """Return what a command prints; errors are raised."""
    app = typer.Typer()
    add(app)
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if result.exception:
        raise result.exception
    return result.stdout


def test_a_file_is_shown_with_what_holds_and_where_from(tmp_path: Path) -> None:
    """Merged values by kind, defaults marked, entries apart, notes at the end."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({
        "target_device": "CPU",
        "overall_quantize_config": {"method": "percentile", "scale_type": "float",
                                    "calib_statistic_method": "max"},
        "tensor_quantize_config": {"weights": {"method": "maxmin", "percentage": 99.5}},
        "layer_quantize_config": [{"layer_type": "Conv2d", "quantizable_data_type": ["weights"],
                                   "overall_quantize_config": {"per_channel": True}}],
    }))  # fmt: skip
    text = run("config", str(path))
    assert "Layers of layer_type Conv2d" in text
    assert "99.99*" in text
    assert "mind: percentage of weights is used by method percentile only" in text
    found: Any = json.loads(run("config", str(path), "--json"))
    assert found["network"]["weights"]["method"] == "maxmin"
    assert found["layers"][0]["settings"]["weights"]["per_channel"] is True
    assert found["switches"]["include_cle"] is True
    assert json.loads(run("config", str(path), "--parity", "--json"))["parity"] is True


def test_files_are_converted_both_ways(tmp_path: Path) -> None:
    """JSON to recipe to JSON, through the command."""
    (tmp_path / "a.json").write_text(run("config", "pytorch_quantize_config", "--to", "json"))
    (tmp_path / "b.toml").write_text(run("config", str(tmp_path / "a.json"), "--to", "recipe"))
    again = run("config", str(tmp_path / "b.toml"), "--to", "json")
    assert json.loads(again) == json.loads((tmp_path / "a.json").read_text())


def test_a_file_is_mended(shared: Path, tmp_path: Path) -> None:
    """The widely copied listing for DPUs becomes legal, and the change is said."""
    path = shared / "vendor/vitis/configs_used/dpu_acthalfeven_REJECT.json"
    with pytest.raises(InputError, match="half_up"):
        run("config", str(path))
    text = run("config", str(path), "--fix", str(tmp_path / "good.json"))
    assert 'changed: tensor_quantize_config.activation.round_mode = "half_up"' in text
    again = json.loads(run("config", str(tmp_path / "good.json"), "--fix",
                           str(tmp_path / "same.json"), "--json"))  # fmt: skip
    assert again["changes"] == []


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    """Forms, names, and places that do not exist."""
    for words, message in (
        (("dpu", "--to", "yaml"), "--to yaml is no form"),
        (("dpux",), "there is no preset 'dpux'"),
        (("dpu", "--fix", "x.json"), "--fix mends JSON files"),
        (("dpu", "--to", "json", "--json"), "--to json and --json both say"),
    ):
        with pytest.raises(InputError, match=message):
            run("config", *words)
    (tmp_path / "a.json").write_text('{"target_device": "DPU"}')
    with pytest.raises(WorkspaceError, match="there is no such folder"):
        run("config", str(tmp_path / "a.json"), "--fix", str(tmp_path / "none" / "b.json"))


def test_presets_are_listed() -> None:
    """With what they are, and the refused ones with the reason."""
    assert "gemm88_config" in run("presets")
    assert "dpu" in json.loads(run("presets", "--json"))["presets"]
