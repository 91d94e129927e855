"""The recipes in examples are valid, and those for the MAX78000 run, on a handful of samples."""

from __future__ import annotations

import gzip
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import nibblefit
from nibblefit.plugins import list_targets
from nibblefit.results import Status

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
RECIPES = sorted(EXAMPLES.rglob("*.toml"))
SAMPLES = 120
#: Enough training to see that it works, and no limits: noise cannot be learnt.
SHORT = {
    "train.float.epochs": 1, "train.qat.epochs": 1, "train.batch_size": 16,
    "quantize.calibration_samples": 32, "evaluate.floor": 0.0, "evaluate.max_drop": 1.0,
    "run.threads": 1,
}  # fmt: skip

needs_maxim = pytest.mark.skipif(
    find_spec("nibblefit_maxim") is None, reason="needs nibblefit-maxim"
)


def _idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(head + array.tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of noise under the file names of both data sets."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(1)
    for stem in ("train-{}", "t10k-{}", "first3615-{}"):
        images = random.integers(0, 256, (SAMPLES, 28, 28), dtype=np.uint8)
        labels = (np.arange(SAMPLES) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            (folder / f"{stem.format(kind)}-ubyte.gz").write_bytes(_idx(array))
    return folder


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ONNX file that the script of the examples writes."""
    path = tmp_path_factory.mktemp("onnx") / "small_cnn.onnx"
    script = EXAMPLES / "mnist" / "write_onnx.py"
    subprocess.run([sys.executable, "-W", "ignore", script, path], check=True, timeout=120)
    return path


def _settings(recipe: Path, data: Path, onnx_file: Path) -> dict[str, object]:
    settings: dict[str, object] = {**SHORT, "data.path": str(data)}
    if recipe.stem == "onnx":
        settings["model.source"] = str(onnx_file)
    if recipe.parent.name == "fashion":
        settings["data.options.first"] = SAMPLES // 2
    return settings


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_recipe_is_valid(path: Path) -> None:
    """It reads without a complaint, and names itself in the command at its top."""
    target = nibblefit.read_recipe(path).target.name
    if target in {row.name for row in list_targets()}:
        assert nibblefit.load_recipe(path).target.name == target
    assert f"nibblefit run {path.relative_to(ROOT)}" in path.read_text("utf-8").split("\n\n")[0]


@needs_maxim
@pytest.mark.parametrize("network", ["onnx", "residual", "conv1d"])
def test_recipe_runs_to_its_files(
    network: str, data: Path, onnx_file: Path, tmp_path: Path
) -> None:
    """Training, exact integers and files come out; a search takes the float training up."""
    recipe = EXAMPLES / "mnist" / f"{network}.toml"
    settings = _settings(recipe, data, onnx_file)
    nibblefit.run_recipe(nibblefit.read_recipe(recipe, settings), tmp_path)
    run = nibblefit.open_run(tmp_path)
    findings = {finding.rule: finding.status for finding in run.report("evaluate").findings}
    assert findings["exact.engine"] is findings["exact.simulation"] is Status.PASSED
    assert {file.role for file in run.artifact().files} >= {"yaml", "checkpoint", "sample"}

    search = {**settings, "target.search": {"bits": [8, 4], "max_drop": 0.5}}
    outcome = nibblefit.run_recipe(nibblefit.read_recipe(recipe, search), tmp_path, until="search")
    assert [step.name for step in outcome.steps if step.reused] == ["float"]
    assert (nibblefit.open_run(tmp_path).folder("search") / "candidates.json").is_file()


@needs_maxim
@pytest.mark.parametrize("network", ["onnx", "residual", "conv1d"])
def test_recipe_fits_the_device(network: str, data: Path, onnx_file: Path, tmp_path: Path) -> None:
    """The recipes of the other data set fit the device's memories, too."""
    recipe = EXAMPLES / "fashion" / f"{network}.toml"
    settings = _settings(recipe, data, onnx_file)
    outcome = nibblefit.run_recipe(
        nibblefit.read_recipe(recipe, settings), tmp_path, until="prepare"
    )
    assert [step.name for step in outcome.steps] == ["prepare"]
