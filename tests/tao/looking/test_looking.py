"""See before cutting, on a trained run: table, JSON, drawing, and the other commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nibblefit.cli.entry import main
from nibblefit.recipe_file import read_recipe
from nibblefit.runner import run
from nibblefit_tao.logs.status import read_status
from nibblefit_tao.logs.training_log import read_log

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.extra("train", "report")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained two epochs, pruned and retrained one."""
    folder = tmp_path_factory.mktemp("run")
    changes = {"train.epochs": 2, "train.retrain.epochs": 1, "evaluate.floor": 0.0,
               "evaluate.max_drop": 1.0, "target.ratios": [0.5]}  # fmt: skip
    run(read_recipe(ROOT / "examples" / "tao" / "digits.toml", changes), folder)
    return folder


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run a command line; return its exit code, what it printed and what it complained."""
    code = main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_norms_and_curve_are_shown_before_cutting(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Groups, usual thresholds, the solved one; JSON holds histograms and the whole curve."""
    code, told, _ = call(capsys, "tao", "look", trained, "--ratio", "0.5", "--out", tmp_path)
    assert code == 0
    assert "layer2.downsample.0" in told
    assert "leaves at most 0.5 of the parameters" in told
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
    code, told, _ = call(capsys, "tao", "look", trained, "--json", "--normalizer", "L2")
    document = json.loads(told)
    assert sum(document["groups"][0]["counts"]) == document["groups"][0]["filters"]
    ratios = document["curve"]["ratio"]
    assert ratios == sorted(ratios, reverse=True)
    code, _, complaint = call(capsys, "tao", "look", trained, "--normalizer", "L3")
    assert code == 2
    assert "--normalizer" in complaint


def test_a_run_is_written_as_the_vendors_logs(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table for each training, lines of status with the pruning ratio."""
    assert call(capsys, "tao", "log", trained, "--out", tmp_path)[0] == 0
    assert len(read_log(tmp_path / "training_log_train.csv")) == 2
    assert len(read_log(tmp_path / "training_log_retrain_r500.csv")) == 1
    lines = read_status(tmp_path / "status.json")
    (ratio,) = [line["kpi"]["pruning_ratio"] for line in lines if "kpi" in line]
    assert 0 < ratio <= 0.5


def test_specs_caches_and_logs_have_commands(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spec to recipe and back, the contents of a cache, the best epoch."""
    folder = shared / "vendor" / "tao"
    recipe = tmp_path / "recipe.toml"
    first, second = (folder / "specs" / f"ssd_{name}_own.txt" for name in ("train", "retrain"))
    assert call(capsys, "tao", "spec", first, "--retrain", second, "--out", recipe)[0] == 0
    code, told, _ = call(capsys, "tao", "spec-back", recipe, second, "--step", "retrain")
    assert code == 0
    assert "num_epochs: 80" in told
    assert "type: NO_REG" in told
    code, told, _ = call(capsys, "tao", "spec", first, "--json")
    assert json.loads(told)["recipe"]["train"]["train"]["epochs"] == 80
    yaml = folder / "specs" / "classification_tf2_tao_voc_specs_spec.yaml"
    assert "soft_start_cosine" in call(capsys, "tao", "spec", yaml)[1]
    code, told, _ = call(capsys, "tao", "cache", folder / "calib" / "vgg16.cache", "--json")
    assert json.loads(told)["header"] == "TRT-6001-EntropyCalibration2"
    assert "vgg0_conv0_fwd" in call(capsys, "tao", "cache", folder / "calib" / "vgg16.cache")[1]
    log = folder / "logs" / "ssd_training_log_sample.csv"
    assert call(capsys, "tao", "best", log)[1].startswith("epoch 50")
    told = call(capsys, "tao", "best", log, "--checkpoints", "20,40", "--json")[1]
    assert json.loads(told)["epoch"] == 40
    assert call(capsys, "tao", "best", log, "--checkpoints", "a")[0] == 2
    assert call(capsys, "tao", "spec-back", recipe, second, "--step", "qat")[0] == 2
    assert call(capsys, "tao", "cache", log)[0] == 2
