"""The example of sparse training ends where the manual says; in short it runs in seconds."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import nibblefit
from nibblefit.results import Status

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "tidl" / "digits.toml"
#: One epoch a stage, and a target that one epoch reaches.
SHORT: dict[str, Any] = {
    "train.initial.epochs": 2, "train.l1.epochs": 1, "train.sparse.epochs": 1,
    "target.sparsity.target": 0.2, "target.sparsity.threshold_maxratio": 1.0,
    "evaluate.floor": 0.0, "evaluate.max_drop": 1.0, "evaluate.judge_samples": 8,
    "run.threads": 1,
}  # fmt: skip

pytestmark = [
    pytest.mark.skipif(find_spec("nibblefit_tidl") is None, reason="needs nibblefit-tidl"),
    pytest.mark.extra("train"),
]


def _run(folder: Path, settings: dict[str, Any]) -> nibblefit.OpenRun:
    nibblefit.run_recipe(nibblefit.read_recipe(RECIPE, settings), folder)
    return nibblefit.open_run(folder)


def test_the_example_runs_to_its_files(tmp_path: Path) -> None:
    """All three stages, exact integers with at least the zeros of the mask, and the files."""
    run = _run(tmp_path, SHORT)
    findings = {finding.rule: finding.status for finding in run.report("evaluate").findings}
    assert findings["exact.engine"] is findings["exact.simulation"] is Status.PASSED
    zeros = [run.report(step).metrics["sparsity_of_convolutions"]
             for step in ("evaluate_sparse", "evaluate")]  # fmt: skip
    assert 0.2 <= zeros[0] <= zeros[1]
    assert {file.role for file in run.artifact().files} >= {"prototxt", "caffemodel", "config"}


@pytest.mark.slow
def test_four_fifths_of_the_weights_are_zero(tmp_path: Path) -> None:
    """As it stands: gates of floor and drop hold, and the sparse stage reaches its target."""
    run = _run(tmp_path, {"run.threads": 1})
    assert run.report("evaluate_initial").metrics["top1"] >= 0.95
    assert run.report("evaluate_sparse").metrics["sparsity_of_convolutions"] >= 0.8
    lost = (run.report("evaluate_initial").metrics["top1"]
            - run.report("evaluate").metrics["top1"])  # fmt: skip
    assert lost <= 0.02
