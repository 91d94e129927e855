"""The commented recipe: complete, explained, and read back as what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from nibblefit.cli.recipe_text import SECTIONS, recipe_text, toml_value
from nibblefit.hooks import ApiVersion, TargetInfo
from nibblefit.ir.numerics import Numerics
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import read_recipe, target_options


class Options(BaseModel):
    """Options of the toy target."""

    shift_limit: int = Field(default=15, description="Largest shift the toy can do.")
    mode: str = Field(default="fast", description="fast or exact.")


INFO = TargetInfo("toy", "A toy", ApiVersion(1, 0), Numerics(), Options, parts=("t1", "t2"))
CHOSEN = {"target.name": "toy", "target.part": "t2", "model.source": "net.py:make"}

_values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(_values)
def test_toml_values_read_back(value: Any) -> None:
    """What is written as TOML is read by a TOML parser as the same value."""
    assert tomli.loads(f"value = {toml_value(value)}")["value"] == value


class Nested(BaseModel):
    """Part of the options below."""

    rate: float = 0.5
    limit: int | None = None


def test_unset_keys_of_tables_are_left_out() -> None:
    """TOML has no null, and the word None would be read as text."""
    assert toml_value(Nested()) == "{ rate = 0.5 }"


def test_every_key_is_there_with_its_description() -> None:
    """Each key of the schema and of the target appears, after its description."""
    text = recipe_text(INFO, CHOSEN)
    flat = " ".join(text.replace("\n#", "").split())
    for section in SECTIONS:
        schema: Any = Recipe.model_fields[section].annotation
        assert f"\n[{section}]\n" in text
        for name, field in schema.model_fields.items():
            assert f"\n{name} =" in text or f"\n#{name} =" in text, name
            assert " ".join(field.description.split()) in flat
    assert "Largest shift the toy can do." in flat
    assert "#shift_limit = 15" in text


def test_written_recipe_is_a_valid_recipe(tmp_path: Path) -> None:
    """The file loads, holds what was chosen, and everything else is the default."""
    path = tmp_path / "r.toml"
    path.write_text(recipe_text(INFO, CHOSEN), encoding="utf-8")
    recipe = read_recipe(path)
    assert recipe.model.source == "net.py:make"
    assert recipe.target.part == "t2"
    bare = tmp_path / "bare.toml"
    bare.write_text(
        '[model]\nsource = "net.py:make"\n[target]\nname = "toy"\npart = "t2"\n', encoding="utf-8"
    )
    ours, defaults = recipe.model_dump(), read_recipe(bare).model_dump()
    assert {**ours, "file": ""} == {**defaults, "file": ""}
    assert target_options(recipe, INFO) == Options()


def test_every_default_can_be_switched_on(tmp_path: Path) -> None:
    """Removing the # of all defaults gives the same recipe: the shown values are the real ones."""
    lines = recipe_text(INFO, CHOSEN).splitlines()
    active = [line[1:] if line.startswith("#") and not line.startswith(("# ", "#["))
              and not line.endswith("=") else line for line in lines]  # fmt: skip
    path = tmp_path / "r.toml"
    path.write_text("\n".join(active), encoding="utf-8")
    recipe = read_recipe(path)
    assert recipe.train == Recipe.model_fields["train"].default
    assert recipe.evaluate == Recipe.model_fields["evaluate"].default
    assert target_options(recipe, INFO) == Options()


@pytest.mark.parametrize("steps", [(), ("float", "qat")])
def test_training_steps_are_named(steps: tuple[str, ...]) -> None:
    """Tables for the plan's training steps are offered by name."""
    text = recipe_text(INFO, CHOSEN, train_steps=steps)
    assert [line for line in text.splitlines() if line.startswith("#[train.")] == [
        f"#[train.{step}]" for step in steps
    ]
