"""Transfer learning by recipe, from a run folder: new head, groups' rates, distillation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nibblefit
from nibblefit.errors import InputError, RecipeError, WorkspaceError
from nibblefit.plan import Stage, Step
from nibblefit.recipe import Recipe, TargetSection
from nibblefit.runner import run
from nibblefit.runner.ingredients import FileDigests
from nibblefit.workspace import OpenRun, teacher_files

NET = """\
from torch import nn

def build(width=4, classes=10):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(9 * width, classes),
    )
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a network, and in ``first`` a training of it."""
    folder = tmp_path_factory.mktemp("transfer")
    (folder / "net.py").write_text(NET, encoding="utf-8")
    trained(folder, "first")
    return folder


def trained(place: Path, name: str, train: Mapping[str, Any] | None = None,
            **sections: Any) -> OpenRun:  # fmt: skip
    """Train on the digits until the float step is done, and return the run."""
    recipe = Recipe.model_validate({
        "model": {"source": "net.py:build", **sections.pop("model", {})},
        "target": {"name": "generic"},
        "train": {"epochs": 3, "batch_size": 64, "learning_rate": 0.02, **(train or {})},
        "folder": str(place),
        **sections,
    })  # fmt: skip
    run(recipe, place / name, until="float")
    return nibblefit.open_run(place / name)


def constants(found: OpenRun, step: str = "float") -> Mapping[str, Any]:
    """Return the weights after a step."""
    return found.model(step).graph.constants


def test_feature_extraction_trains_the_new_head_alone(place: Path) -> None:
    """Weights come from the run folder; all but the fresh head stay to the bit."""
    before = constants(nibblefit.open_run(place / "first"))
    model = {"weights": "first", "fresh": ["4.*"]}
    found = trained(place, "head", {"freeze": ["*", "!4.*"]}, model=model)
    start, end = constants(found, "prepare"), constants(found)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        assert np.array_equal(before[name], end[name])
    assert not np.array_equal(before["4.weight"], start["4.weight"])
    assert not np.array_equal(start["4.weight"], end["4.weight"])
    told = [entry["message"] for entry in found.journal() if entry["event"] == "warning"]
    assert "4.bias, 4.weight start anew, as model.fresh says" in told


def test_fine_tuning_gives_groups_their_own_rate(place: Path) -> None:
    """A group with a millionth of the rate hardly moves, one with factor 0 not at all."""
    groups = [{"patterns": ["0.weight"], "learning_rate_factor": 1e-6},
              {"patterns": ["0.bias"], "learning_rate_factor": 0.0}]  # fmt: skip
    found = trained(place, "tune", {"parameter_groups": groups}, model={"weights": "first"})
    start, end = constants(found, "prepare"), constants(found)
    moved = {name: float(np.abs(end[name] - start[name]).max()) for name in end}
    assert moved["0.bias"] == 0.0
    assert 0.0 < moved["0.weight"] < 1e-4 < moved["4.weight"]


def test_a_student_follows_its_teacher(place: Path) -> None:
    """Without heed to labels the student learns; another teacher gives other weights."""

    def student() -> OpenRun:
        distill = {"teacher": "first", "weight": 1.0, "temperature": 2.0}
        model = {"arguments": {"width": 3}}
        return trained(place, "student", {"epochs": 6}, distill=distill, model=model)

    found = student()
    assert found.model("float").history[-1]["validation_top1"] > 0.7
    first = found.manifest("float").digest
    again = student()
    assert ("reused", "float") in {(e["event"], e.get("step")) for e in again.journal()}
    assert again.manifest("float").digest == first
    trained(place, "first", {"epochs": 1})
    assert student().manifest("float").digest != first
    trained(place, "first")


def test_folders_that_are_no_run_are_refused(place: Path) -> None:
    """Weights from a folder need a run; a head of other classes must be asked for."""
    (place / "empty").mkdir()
    with pytest.raises(WorkspaceError, match="is no run folder"):
        trained(place, "a", model={"weights": "empty"})
    with pytest.raises(WorkspaceError, match="is no run folder"):
        trained(place, "b", distill={"teacher": "empty"})
    with pytest.raises(RecipeError, match="for factories"):
        trained(place, "d", distill={"teacher": "first", "weights": "w.pt"})
    with pytest.raises(InputError, match=r"'4.weight' has shape \(10, 36\); expected \(12, 36\)"):
        trained(place, "c", model={"weights": "first", "arguments": {"classes": 12}})


def test_a_step_depends_on_what_its_teacher_is_made_of(tmp_path: Path) -> None:
    """Code and weights of a teacher are ingredients of every training, of no other step."""
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    np.savez(tmp_path / "w.npz", a=np.zeros(1))
    recipe = Recipe.model_validate({
        "model": {"source": "other.onnx"}, "target": {"name": "generic"},
        "distill": {"teacher": "net.py:build", "weights": "w.npz"}, "folder": str(tmp_path),
    })  # fmt: skip
    first = teacher_files(recipe)
    assert set(first) == {"file net.py", "file w.npz"}
    np.savez(tmp_path / "w.npz", a=np.ones(1))
    assert teacher_files(recipe)["file w.npz"] != first["file w.npz"]
    options = TargetSection(name="generic")
    digests = FileDigests()
    assert set(first) <= set(digests.read_by(Step(Stage.TRAIN, "float"), recipe, options))
    assert not digests.read_by(Step(Stage.QUANTIZE, "quantize"), recipe, options)
