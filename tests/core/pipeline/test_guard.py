"""What a step may read of the recipe, and that its key follows exactly that."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from tests.core.pipeline.toys import Toy, ToyOptions, go, toy_info, toy_recipe

from nibblefit.errors import PluginError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Stage, Step
from nibblefit.runner.guard import guarded, guarded_options
from nibblefit.runner.ingredients import options_closed
from nibblefit.runner.planning import check_plan


@pytest.fixture(params=["same", "copied", "pickled"])
def limited(request: pytest.FixtureRequest) -> Any:
    """Return a recipe with [train] and evaluate.batch_size open, also after it travelled."""
    recipe = guarded(
        toy_recipe(train={"qat": {"epochs": 9}}), "qat", ("train", "evaluate.batch_size")
    )
    if request.param == "copied":
        return copy.deepcopy(recipe)
    return pickle.loads(pickle.dumps(recipe)) if request.param == "pickled" else recipe


def test_declared_sections_and_keys_are_open(limited: Any) -> None:
    """Step settings, single keys, target and run can be read."""
    assert limited.train_for("qat").epochs == 9
    assert limited.evaluate.batch_size == 256
    assert limited.target.name == "toy"
    assert limited.run.seed == 1
    part = limited.evaluate
    assert pickle.loads(pickle.dumps(part)).batch_size == 256


def test_everything_else_is_closed_with_a_remedy(limited: Any) -> None:
    """The message names step and key and says what to add to the plan."""
    with pytest.raises(PluginError, match=r"'qat' reads the recipe's \[quantize\].*\n.*reads="):
        _ = limited.quantize
    with pytest.raises(PluginError, match=r"reads=\('evaluate.samples',\)"):
        _ = limited.evaluate.samples


def test_a_plan_may_open_single_keys_that_exist() -> None:
    """A misspelt key in reads is a fault of the plan."""
    check_plan((Step(Stage.PREPARE, "prepare", reads=("evaluate.samples",)),), "toy")
    with pytest.raises(PluginError, match=r"'quantize.layer'; did you mean 'layers'"):
        check_plan((Step(Stage.PREPARE, "prepare", reads=("quantize.layer",)),), "toy")


class PartlyRead(BaseModel):
    """Options of which one is read by some steps only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gain: float = Field(default=1.0, description="Read by every step.")
    width: int = Field(
        default=8,
        description="Read when codes are made.",
        json_schema_extra={"read_by": ["quantize", "qat"]},
    )

    @property
    def largest(self) -> int:
        """Largest code, which follows from `width`."""
        return (1 << (self.width - 1)) - 1


FLOAT = Step(Stage.TRAIN, "float", options=frozen_mapping({"phase": "float"}))
LATE = Step(Stage.TRAIN, "late", options=frozen_mapping({"phase": "qat"}))
QUANTIZE = Step(Stage.QUANTIZE, "quantize")


def test_options_count_for_the_steps_that_read_them() -> None:
    """read_by names stages and phases; an option without it counts everywhere."""
    options = PartlyRead()
    assert options_closed(FLOAT, options) == {"width"}
    assert options_closed(LATE, options) == frozenset()
    assert options_closed(QUANTIZE, options) == frozenset()


@pytest.mark.parametrize("travelled", [False, True])
def test_closed_option_cannot_be_read(travelled: bool) -> None:
    """A step that reads an option it is not part of is told what to declare."""
    options = guarded_options(PartlyRead(gain=2.0), "float", {"width"})
    if travelled:
        options = pickle.loads(pickle.dumps(options))
    assert isinstance(options, PartlyRead)
    assert options.gain == 2.0
    for name in ("width", "largest"):
        with pytest.raises(PluginError, match=r"target\.width.*\n.*read_by"):
            getattr(options, name)


class LateGain(ToyOptions):
    """The toy's options; its metric is read by evaluation only."""

    quality: float = Field(
        default=0.9,
        description="Metric that evaluate reports.",
        json_schema_extra={"read_by": ["evaluate"]},
    )


def test_only_readers_run_again(tmp_path: Path) -> None:
    """Changing an option re-runs what reads it, and says why."""
    toy = Toy()
    toy.info = toy_info(options=LateGain)
    go(tmp_path, toy)
    again = go(tmp_path, toy, toy_recipe(target__quality=0.8))
    reasons = {record.name: record.reason for record in again.steps if not record.reused}
    assert set(reasons) == {"evaluate_float", "evaluate"}
    assert "target.quality" in reasons["evaluate"]


class WithFile(ToyOptions):
    """The toy's options, with a file that quantization reads."""

    table: str = Field(
        default="",
        description="A file.",
        json_schema_extra={"read_by": ["quantize"], "file": True},
    )


def test_the_content_of_an_options_file_counts(tmp_path: Path) -> None:
    """An edited file runs again what reads the option; an absent one is left to its reader."""
    toy = Toy()
    toy.info = toy_info(options=WithFile)
    (tmp_path / "table.json").write_text("1", encoding="utf-8")
    recipe = toy_recipe(target__table="table.json").model_copy(update={"folder": str(tmp_path)})
    go(tmp_path, toy, recipe)
    assert all(record.reused for record in go(tmp_path, toy, recipe).steps)
    (tmp_path / "table.json").write_text("2", encoding="utf-8")
    again = go(tmp_path, toy, recipe)
    reasons = {record.name: record.reason for record in again.steps if not record.reused}
    assert "quantize" in reasons
    assert "table.json" in reasons["quantize"]
    assert "float" not in reasons
    (tmp_path / "table.json").unlink()
    assert not all(record.reused for record in go(tmp_path, toy, recipe).steps)
