"""See before cutting, on a trained run: table, JSON, drawing, and the other commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nibblefit import open_run
from nibblefit.cli.entry import main
from nibblefit.recipe_file import read_recipe
from nibblefit.report import build_report
from nibblefit.runner import run
from nibblefit_tao.logs.naming import log_file
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
    assert re.search(
        r"threshold 0\.\d+ leaves (\d\d\.\d)% of the parameters, \d\d\.\d% are gone", told
    )
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")
    code, told, _ = call(capsys, "tao", "look", trained, "--json", "--normalizer", "L2")
    document = json.loads(told)
    assert sum(document["groups"][0]["counts"]) == document["groups"][0]["filters"]
    ratios = document["curve"]["ratio"]
    assert ratios == sorted(ratios, reverse=True)
    code, _, complaint = call(capsys, "tao", "look", trained, "--normalizer", "L3")
    assert code == 2
    assert "'L3' is no normalizer" in complaint
    assert "max, L2, off" in complaint


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--threshold", "0.0001"), r"removes nothing: the weakest filter scores 0\.[1-9]"),
        (("--threshold", "0.999"), r"warning: . of 5 groups of layers are cut down to their least"),
        (("--threshold", "0.5", "--layer-threshold", "*=5"), "warning: 5 of 5 groups"),
        (("-pth", "0.999", "-nf", "64"), "held by the least number of filters and the granularity"),
        (("-pth", "0.5", "-el", "*"), "every layer that could lose filters is excluded"),
        (("--macs", "400000"), r"leaves \d\d\.\d% of the parameters"),
    ],
)
def test_thresholds_that_prune_nothing_or_too_much_are_warned_of(
    trained: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """Each warning says why; the run's own settings hold where no option is given."""
    code, out, _ = call(capsys, "tao", "look", trained, *words)
    assert code == 0
    assert re.search(told, " ".join(out.split()))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ratio", "2"), "a pruning ratio of 2 cannot be asked for"),
        (("--ratio", "0.5", "-pth", "0.5"), "--threshold contradicts the size"),
        (("--exclude", "stm"), "'stm' matches no layer; did you mean 'stem'?"),
        (("--input-shape", "1,8,8"), "a run knows its own"),
        (("--out", "/dev/null/x"), "cannot create the folder /dev/null/x"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(
    trained: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """One clear line, exit code 2."""
    code, _, complaint = call(capsys, "tao", "look", trained, *words)
    assert code == 2
    assert told in complaint


def test_a_threshold_that_empties_every_layer_is_refused(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4: a limit that is not met."""
    code, _, complaint = call(capsys, "tao", "look", trained, "--threshold", "1")
    assert code == 4
    assert "threshold 1 would empty every layer: the strongest filter scores 1" in complaint


def test_any_network_can_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A factory without a run, with TAO's settings, twice the same; steps belong to runs."""
    monkeypatch.chdir(ROOT)
    words = ("tao", "look", "examples/networks/residual.py:build", "--input-shape", "1,8,8")
    first, second = (call(capsys, *words, "--json", "--ratio", "0.8") for _ in range(2))
    assert first == second
    document = json.loads(first[1])
    rising = zip(document["curve"]["threshold"], document["curve"]["ratio"], strict=True)
    reached = next(threshold for threshold, ratio in rising if ratio <= 0.8)
    assert document["threshold"] <= reached
    code, _, complaint = call(capsys, *words, "--step", "train")
    assert code == 2
    assert "--step names a step of a run folder" in complaint


def test_the_report_shows_norms_and_curve_with_the_chosen_threshold(trained: Path) -> None:
    """A section of the run's page: both drawings, every group, and the threshold solved for."""
    page = build_report(trained).read_text("utf-8")
    section = page[page.index('<h2 id="charts-pruning">') :]
    section = section[: section.index("<h2", 5)]
    (facts,) = {open_run(trained).model(step).extra["pruning"]["threshold"]
                for step in ("prune", "retrain")}  # fmt: skip
    ratio = open_run(trained).report("evaluate_prune").metrics["pruning_ratio"]
    assert f"threshold {facts:.3g} leaves {ratio:.1%}</li>" in section
    assert section.count("<figure>") == 2
    for layer in ("stem + 2", "layer1.0.conv1", "layer2.downsample.0 + 1"):
        assert f">{layer}<" in section
    assert section.count("stroke: var(--series-2)") == 2
    assert "multiply-accumulates</li>" in section
    assert "of the parameters remain" in page


def test_a_run_is_written_as_the_vendors_logs(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table for each training, lines of status with the pruning ratio."""
    code, told, _ = call(capsys, "tao", "log", trained, "--out", tmp_path)
    assert code == 0
    assert "here a log has its step's name" in told
    assert len(read_log(tmp_path / "training_log_train.csv")) == 2
    assert len(read_log(tmp_path / "training_log_retrain_r500.csv")) == 1
    lines = read_status(tmp_path / "status.json")
    (ratio,) = [line["kpi"]["pruning_ratio"] for line in lines if "kpi" in line]
    assert 0 < ratio <= 0.5


def test_logs_of_a_detector_have_taos_names_in_a_folder_for_each_training(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The name does not tell train from retrain; `tao best` reads both."""
    monkeypatch.setattr("nibblefit_tao.logs.of_run.log_file", lambda _: log_file("SsdResNet18"))
    code, told, _ = call(capsys, "tao", "log", trained, "--out", tmp_path)
    assert code == 0
    assert "step's name" not in told
    for step, epochs in (("train", 2), ("retrain_r500", 1)):
        path = tmp_path / step / "ssd_training_log_resnet18.csv"
        assert len(read_log(path)) == epochs
        assert call(capsys, "tao", "best", path, "--metric", "validation_top1")[0] == 0


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
