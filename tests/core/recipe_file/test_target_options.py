"""Options of the target and tables of training steps, checked like the rest of a recipe."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from tests.core.recipe_file.recipes import VALID

from nibblefit.errors import RecipeError
from nibblefit.hooks import API, TargetInfo
from nibblefit.ir.numerics import Numerics
from nibblefit.recipe_file import (
    check_train_steps,
    read_recipe,
    target_options,
)


class Options(BaseModel):
    """Options of a target that forbids others."""

    model_config = ConfigDict(extra="forbid")
    scales: str = Field(description="Kind of scales.")
    bits: int = Field(default=8, ge=2, description="Width.")


class Tolerant(BaseModel):
    """Options of a target that forgot to forbid others."""

    scales: str = "x"


class Open(BaseModel):
    """Options of a target that takes any."""

    model_config = ConfigDict(extra="allow")


def info(options: type[BaseModel], *parts: str) -> TargetInfo:
    """Return target facts around options."""
    return TargetInfo("generic", "A target.", API, Numerics(), options, parts)


def test_target_options_are_checked_like_the_rest(write: Any) -> None:
    """Lines point into the file; the part must be one of the target's."""
    path = write(VALID.replace('scales = "power_of_two"', "scale = 1\nbits = 1\npart = 'max78001'"))
    recipe = read_recipe(path)
    with pytest.raises(RecipeError) as caught:
        target_options(recipe, info(Options, "max78000", "max78002"))
    found = caught.value.problems
    assert [p.split(":")[0] for p in found] == ["line 7", "line 9", "line 10", "line 11"]
    assert "target.scales is missing (Kind of scales)" in found[0]
    assert "did you mean 'scales'" in found[1]
    assert "at least 2 (Width)" in found[2]
    assert "did you mean 'max7800" in found[3]
    with pytest.raises(RecipeError, match="no parts to choose from"):
        target_options(recipe, info(Open))
    good = read_recipe(write(VALID))
    assert target_options(good, info(Options)).model_dump() == {"scales": "power_of_two", "bits": 8}


def test_target_models_that_ignore_extras_still_find_misspelt_options(write: Any) -> None:
    """Without this a typing mistake in [target] would be silence."""
    recipe = read_recipe(write(VALID.replace("scales =", "scals =")))
    with pytest.raises(RecipeError, match=r"line 9: unknown key 'scals'.*did you mean 'scales'"):
        target_options(recipe, info(Tolerant))
    assert target_options(recipe, info(Open)).model_extra == {"scals": "power_of_two"}


def test_messages_do_without_lines_when_the_file_is_gone(write: Any) -> None:
    """A recipe made in Python, or whose file was removed or spoilt, is explained all the same."""
    path = write(VALID)
    recipe = read_recipe(path)
    path.write_text("[[[")
    with pytest.raises(
        RecipeError, match=r": .train.qat. fits no training step.*did you mean 'qta'"
    ):
        check_train_steps(recipe, ["qta", "float"])
    path.unlink()
    with pytest.raises(RecipeError, match=": unknown key 'scales'"):
        target_options(recipe, info(Bare))
    check_train_steps(recipe, ["qat"])


class Bare(BaseModel):
    """Options of a target that has none."""

    model_config = ConfigDict(extra="forbid")
