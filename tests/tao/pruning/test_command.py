"""``nibblefit tao prune`` on the command line: sizes, warnings, saved plans, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nibblefit.cli.entry import main
from nibblefit.nn.onnx_import import import_onnx

ROOT = Path(__file__).resolve().parents[3]
NETWORK = ("tao", "prune", "examples/networks/residual.py:build", "--input-shape", "1,8,8")


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Prune the example; return exit code, what was printed and what was complained."""
    code = main([*NETWORK, *map(str, words)])
    told = capsys.readouterr()
    return code, " ".join(told.out.split()), told.err


def test_the_detector_is_measured_as_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """13,278,368 parameters, 50.7 MiB of weights and 101.36 MiB with momentum, before and after."""
    words = ["nibblefit_tao.networks.ssd_resnet:SsdResNet18", "--input-shape", "3,300,300"]
    assert main(["tao", "prune", *words, "--ratio", "0.22", "--out", str(tmp_path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "of the parameters remain, 78." in told
    assert "trained parameters 13,278,368 2," in told
    assert "parameters, statistics included 13,291,808 2," in told
    assert "float32 weights alone 50.70 MiB 1" in told
    assert "training checkpoint, sgd and its state 101.36 MiB 2" in told
    assert "multiply-accumulates for one input 6,210,796,288 " in told


def test_a_saved_plan_prunes_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights and ONNX file equal those of the first pruning; options of the rule contradict."""
    first, second = tmp_path / "first", tmp_path / "second"
    rule = ("--weight-bytes", 60_000, "-nf", 4, "-pg", 4, "--layer-threshold", "stem=0.2")
    code, told, _ = call(capsys, "--out", first, *rule, "--json")
    document = json.loads(told)
    assert code == 0
    assert document["weight_bytes"] == 4 * document["parameters"] <= 60_000
    assert document["before"]["parameters"] == 24_730
    assert document["before"]["checkpoint_bytes_adam"] == 4 * (24_730 + 2 * 24_378)
    code, told, _ = call(capsys, "--out", second, "--plan", first / "plan.json")
    assert code == 0
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()
    with np.load(first / "weights.npz") as ours, np.load(second / "weights.npz") as theirs:
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert import_onnx(second / "model.onnx").constants
    code, _, complaint = call(capsys, "--out", second, "--plan", first / "plan.json", "-pg", 4)
    assert code == 2
    assert "--plan says already which filters stay" in complaint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot read the pruning plan"),
        ("[1", "is no pruning plan"),
        ('{"network": "n", "threshold": 0.1, "layers": {"stam": [0]}}', "did you mean 'stem'?"),
        ('{"network": "n", "threshold": 0.1, "layers": {"stem": [99]}}', "which has 16"),
    ],
)
def test_plans_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, told: str
) -> None:
    """Missing, damaged, or of another network: one clear line, exit code 2, nothing written."""
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    out = tmp_path / "out"
    code, _, complaint = call(capsys, "--out", out, "--plan", tmp_path / "plan.json")
    assert code == 2
    assert told in complaint
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--ratio", "0.5", "--threshold", "0.2"), "--threshold contradicts the size"),
        (("--ratio", "0.5", "--macs", "9"), "ratio and macs contradict"),
        (("-pth", "nan"), "threshold is nan"),
        (("--layer-threshold", "stem"), "--layer-threshold stem names no layer and threshold"),
        (("--layer-threshold", "stem=x"), "write it as 'block_4*=0.3'"),
        (("--layer-threshold", "stam=0.1"), "did you mean 'stem'?"),
        (("-eq", "all"), "choose one of union, intersection"),
        (("--out", "/dev/null/x"), "cannot create the folder"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    """One clear line, exit code 2."""
    code, _, complaint = call(capsys, "--out", tmp_path, *words)
    assert code == 2
    assert told in complaint


def test_a_threshold_above_every_score_is_a_limit_that_is_not_met(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 4, as for a ratio that cannot be reached."""
    for words, told in (
        (("-pth", "1.5"), "threshold 1.5 would empty every layer"),
        (("--ratio", "0.0001"), "no threshold prunes that far"),
    ):
        code, _, complaint = call(capsys, "--out", tmp_path / "out", *words)
        assert code == 4
        assert told in complaint


def test_what_removes_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TAO's default on a fresh network: the files are written, with a warning."""
    code, told, _ = call(capsys, "--out", tmp_path)
    assert code == 0
    assert "warning: threshold 0.1 removes nothing: the weakest filter scores 0.8" in told
    assert "100.0% of the parameters remain" in told
