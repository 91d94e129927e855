"""The example recipe runs as shown, in short."""

from __future__ import annotations

from pathlib import Path

import pytest

import nibblefit
from nibblefit.results import Status

#: Enough training to see that it works.
SHORT = {
    "train.float.epochs": 2, "quantize.calibration_samples": 100, "evaluate.floor": 0.0,
    "evaluate.max_drop": 1.0, "run.threads": 1,
}  # fmt: skip


@pytest.mark.extra("train")
def test_the_digits_recipe_runs_to_its_files(root: Path, tmp_path: Path) -> None:
    """Training, exact integers, an xmodel that reads back equal, and the compiler's command."""
    recipe = nibblefit.read_recipe(root / "examples/vitis/digits.toml", SHORT)
    nibblefit.run_recipe(recipe, tmp_path)
    run = nibblefit.open_run(tmp_path)
    findings = {finding.rule: finding.status for finding in run.report("evaluate").findings}
    assert findings["exact.engine"] is findings["exact.simulation"] is Status.PASSED
    artifact = run.artifact()
    assert {"xmodel", "quant_info", "onnx", "arch"} <= {file.role for file in artifact.files}
    assert artifact.notes["command"].startswith("vai_c_xir -x digits_cnn_int.xmodel")
