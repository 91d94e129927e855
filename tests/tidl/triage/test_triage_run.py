"""Triage of finished runs: what is found, what is written, what the command prints and refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.core.report.run_folders import make_run

from nibblefit.cli import main
from nibblefit.defaults.evaluation import inputs
from nibblefit.engine import Engine
from nibblefit.errors import InputError, MissingExtraError, UnsupportedError, WorkspaceError
from nibblefit.recipe import (
    DataSection,
    EvaluateSection,
    ModelSection,
    QuantizeSection,
    Recipe,
    RunSection,
    TargetSection,
    TrainSection,
)
from nibblefit.runner import run
from nibblefit.workspace import open_run
from nibblefit_tidl.current.qat.ranges import with_ranges
from nibblefit_tidl.triage import figures, procedure
from nibblefit_tidl.triage.layers import write_layer_info
from nibblefit_tidl.triage.opening import open_subject
from nibblefit_tidl.triage.procedure import EMULATION, FLOAT, MIXED, NARROW, WIDE
from nibblefit_tidl.triage.stability import calibration_stability
from nibblefit_tidl.triage.triage import examine, triage_run

pytestmark = pytest.mark.extra("train", "report")

ROOT = Path(__file__).resolve().parents[3]
NETWORK = str(ROOT / "examples" / "networks" / "digits_cnn.py") + ":build"
FILES = {"triage.html", "triage.json", "snr.png", "scatter.png", "layer_info.txt"}


def _run(
    folder: Path, target: str = "tidl", samples: int = 24, until: str = "quantize", **options: Any
) -> Path:
    if target == "tidl":
        options = {"part": "tda4vm", "calibration_iterations": 1, **options}
    else:
        options = {"sparsify": False, **options}
    made = Recipe(
        model=ModelSection(source=NETWORK, arguments={"width": 4, "dropout": 0.0}),
        target=TargetSection(name=target, **options),
        data=DataSection(source="digits"),
        train=TrainSection(epochs=1, learning_rate=1e-2),
        quantize=QuantizeSection(calibration_samples=samples),
        evaluate=EvaluateSection(samples=64, judge_samples=1),
        run=RunSection(threads=1, device="cpu"),
    )
    run(made, folder, until=until)
    return folder


@pytest.fixture(scope="module")
def current(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the current generation; tests add nothing but the triage folder."""
    return _run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of the classic generation."""
    return _run(tmp_path_factory.mktemp("runs") / "classic", "tidl-classic")


def _traces(folder: Path, place: Path, shift: int = 0) -> Path:
    """Write traces of one test sample, the last convolution's codes shifted right."""
    subject = open_subject(folder)
    real, _ = next(inputs.test_batches(subject.run, 1, 1))
    tensors = Engine(subject.graph).run(inputs.input_codes(subject.graph, real), keep="all").tensors
    layers = examine(subject, samples=1, quick=True).layers
    place.mkdir()
    for layer in layers:
        tensor = subject.graph.tensors[layer.name]
        codes = tensors[layer.name].copy()
        if layer.name == "9":
            codes >>= shift
        channels, height, width = tensor.shape if len(tensor.shape) == 3 else (1, 1, *tensor.shape)
        name = f"tidl_trace{layer.data_id:04d}_00001_{channels:05d}_{width:05d}x{height:05d}.y"
        dtype = np.int8 if tensor.format.signed else np.uint8
        (place / name).write_bytes(codes.astype(dtype).tobytes())
    write_layer_info(layers, place / "net.bin.layer_info.txt")
    np.save(place / "input.npy", real)
    return place


def test_everything_is_found_and_written(current: Path) -> None:
    """Layers, ranking, calibration and procedure; page, data, drawings and table."""
    found = triage_run(current, samples=16)
    assert {path.name for path in (current / "triage").iterdir()} == FILES
    data = json.loads((current / "triage" / "triage.json").read_text())
    assert [entry["name"] for entry in data["layers"]] == [e.layer.name for e in found.errors]
    assert len(data["layers"]) == len(found.layers) == 8
    assert data["ranking"]["gains"]
    assert data["calibration"]["samples"] == 24
    page = (current / "triage" / "triage.html").read_text()
    assert len(re.findall(r"data:image/png;base64,", page)) == 2
    assert "http" not in re.sub(r"http-equiv", "", page)
    for name in ("snr.png", "scatter.png"):
        assert (current / "triage" / name).read_bytes().startswith(b"\x89PNG")
    assert found.verdicts[0].startswith("lowest signal to noise")


def test_procedure_starts_from_the_runs_own_integers(current: Path) -> None:
    """Float emulation equals the float network; 8 bits are the run's graph; 16 come closer."""
    subject = open_subject(current)
    found = examine(subject, samples=16).procedure
    assert found is not None
    rows = {row.name: row for row in found.settings}
    assert list(rows) == [FLOAT, EMULATION, NARROW, WIDE, MIXED]
    assert rows[EMULATION].metric == rows[FLOAT].metric
    assert rows[EMULATION].drop == 0
    assert rows[NARROW].note == "this run"
    ratios = {name: row.decibels or 0.0 for name, row in rows.items()}
    assert ratios[EMULATION] > 90
    assert ratios[WIDE] > ratios[MIXED] > ratios[NARROW]
    assert found.verdict


def test_classic_says_what_is_skipped(classic: Path) -> None:
    """Layers are compared; widths, calibration and procedure are left out with a reason."""
    found = triage_run(classic, samples=16)
    assert found.target == "tidl-classic"
    assert found.ranking is not None
    assert "parameter_bits" in found.ranking.verdict
    assert found.stability is not None
    assert "frame by frame" in found.stability.verdict
    assert not found.stability.too_few
    assert found.procedure is not None
    assert "no tensor_bits" in found.procedure.skipped
    assert len(found.errors) == len(found.layers)
    assert (classic / "triage" / "triage.html").is_file()


def test_too_few_calibration_samples(tmp_path: Path) -> None:
    """Nine samples are too few, whatever they give."""
    found = triage_run(_run(tmp_path / "few", samples=9), samples=4)
    assert found.stability is not None
    assert found.stability.too_few
    assert "9 calibration samples are too few" in found.stability.verdict
    assert "too few samples" in (tmp_path / "few" / "triage" / "triage.html").read_text()


def test_wide_runs_are_not_ranked(tmp_path: Path) -> None:
    """With 16 bits everywhere there is nothing to widen; the procedure still has both widths."""
    found = examine(open_subject(_run(tmp_path / "wide", tensor_bits=16)), samples=4)
    assert found.ranking is not None
    assert found.ranking.skipped == "every layer has 16 bits already"
    assert found.procedure is not None
    rows = {row.name: row for row in found.procedure.settings}
    assert rows[WIDE].note == "this run"
    assert rows[MIXED].metric is None
    assert rows[MIXED].note == found.ranking.skipped


def test_trained_ranges_need_no_calibration(current: Path) -> None:
    """After quantized training the check of calibration samples is left out."""
    subject = open_subject(current)
    trained = replace(subject, model=with_ranges(subject.model, {"input": (0.0, 1.0)}))
    found = calibration_stability(trained)
    assert not found.too_few
    assert "quantized training" in found.verdict
    assert calibration_stability(subject).spreads


def test_settings_that_cannot_be_made_say_why(
    current: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A width the quantizer refuses is a row with its reason; the others are tried."""

    def refuse(*_: object, **__: object) -> None:
        raise UnsupportedError("layer 'up' has no 16 bits")

    monkeypatch.setattr(procedure, "quantize_network", refuse)
    found = examine(open_subject(current), samples=8).procedure
    assert found is not None
    rows = {row.name: row for row in found.settings}
    assert rows[WIDE] == procedure.Setting(WIDE, note="layer 'up' has no 16 bits")
    assert rows[NARROW].metric is not None


def test_command_prints_tables(current: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick triage shows one table and its sentence; JSON is JSON alone."""
    assert main(["tidl", "triage", str(current), "--quick", "--samples", "4"]) == 0
    said = capsys.readouterr().out
    assert "Float against integers, 4 samples" in said
    assert "lowest signal to noise" in said
    assert "triage.html" in said
    assert main(["tidl", "triage", str(current), "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"] is None


def test_command_compares_traces(
    current: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal traces end well; a faulty layer ends in 4 with its name, cause and advice."""
    words = ["tidl", "triage", str(current), "--quick", "--traces"]
    assert main([*words, str(_traces(current, tmp_path / "good"))]) == 0
    assert "8 traced tensors are equal" in capsys.readouterr().out
    bad = _traces(current, tmp_path / "bad", shift=2)
    (bad / "tidl_trace0000_00001_00001_00008x00008.y").unlink()
    given = ["--input", str(bad / "input.npy"), "--layer-info", str(bad / "net.bin.layer_info.txt")]
    assert main([*words, str(bad), *given]) == 4
    said = capsys.readouterr()
    assert "leave ours at '9' (data id 4)" in said.err
    assert "scale: found is about 0.25 times expected" in said.err
    assert "compare the shift" in said.err
    page = (current / "triage" / "triage.html").read_text()
    assert "leave ours at" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--padding", "1,2,3"], "--padding 1,2,3 is no padding"),
        (["--padding", "1,2,3,-4"], "is no padding"),
        (["--input", "missing.npy"], "cannot read the input missing.npy"),
        (["--input", "text.npy"], "holds no array of numbers"),
        ([], "holds no trace files"),
    ],
)
def test_command_refuses_bad_options(  # noqa: PLR0917
    current: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], words: list[str], message: str,
) -> None:  # fmt: skip
    """One line says what is wrong with which option."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.layer_info.txt").write_text("0 0 input\n")
    np.save("text.npy", np.array(["a"]))
    command = ["tidl", "triage", str(current), "--quick", "--traces", str(tmp_path), *words]
    assert main(command) == 2
    assert message in capsys.readouterr().err


def test_other_runs_are_refused(tmp_path: Path) -> None:
    """Another target's run, no run, and one that has not quantized yet."""
    with pytest.raises(WorkspaceError, match="no run folder"):
        open_subject(tmp_path)
    with pytest.raises(InputError, match="triage is for 'tidl' and 'tidl-classic'"):
        open_subject(make_run(tmp_path / "other"))
    started = _run(tmp_path / "float", until="initial")
    with pytest.raises(WorkspaceError, match="no integer graph to look at"):
        open_subject(started)
    assert "quantize" not in open_run(started).steps


def test_results_that_cannot_be_written(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full or read-only disk is said with the folder."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(WorkspaceError, match="cannot write the triage"):
        triage_run(current, samples=2, quick=True)


def test_missing_extra_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what draws, nothing is computed: the extra is named before the run is opened."""
    monkeypatch.setattr(figures, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="optional extra 'report'"):
        triage_run(tmp_path)
