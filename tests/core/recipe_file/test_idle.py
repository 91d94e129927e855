"""Keys that a recipe sets and nobody reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from nibblefit.hooks import API, TargetInfo
from nibblefit.ir.numerics import Numerics
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import (
    changed_keys,
    idle_findings,
    is_key,
    unread_findings,
)
from nibblefit.results import Status


class Inner(BaseModel):
    """A table inside the options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = 1
    width: int = 2


class Options(BaseModel):
    """Options with a table, one that may be missing, and a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Inner = Inner()
    maybe: Inner | None = None
    names: list[str] = Field(default_factory=list)


def recipe(**changes: Any) -> Recipe:
    """Return a minimal recipe with some sections."""
    return Recipe.model_validate(
        {"model": {"source": "x.onnx"}, "target": {"name": "toy"}, **changes}
    )


@pytest.mark.parametrize(("changes", "key", "expected"), [
    ({}, "quantize", []),
    ({"quantize": {"method": "mse"}}, "quantize", []),
    ({"quantize": {"method": "minmax", "percentile": 90.0}}, "quantize",
     ["quantize.method", "quantize.percentile"]),
    ({"quantize": {"method": "minmax", "percentile": 90.0}}, "quantize.percentile",
     ["quantize.percentile"]),
    ({"quantize": {"layers": {"*": {"weight_bits": 4}}}}, "quantize", ["quantize.layers"]),
    ({"train_steps": {"qat": {"momentum": 0.5, "epochs": 20}}}, "train", ["train.qat.momentum"]),
    ({"train": {"momentum": 0.5}, "train_steps": {"qat": {"epochs": 9}}}, "train.momentum",
     ["train.momentum"]),
    ({}, "model", []),
])  # fmt: skip
def test_keys_with_other_values_than_the_default_are_found(
    changes: dict[str, Any], key: str, expected: list[str]
) -> None:
    """A value written out that is the default asks for nothing."""
    found = [one for one in changed_keys(recipe(**changes), key) if one != "model.source"]
    assert found == expected


@pytest.mark.parametrize(("options", "key", "expected"), [
    (Options(), "target.inner", []),
    (Options(inner=Inner(width=3)), "target.inner", ["target.inner.width"]),
    (Options(inner=Inner(width=3)), "target.inner.depth", []),
    (Options(inner=Inner(depth=3)), "target.inner.depth", ["target.inner.depth"]),
    (Options(maybe=Inner()), "target.maybe", ["target.maybe"]),
    (Options(), "target.maybe.depth", []),
    (Options(names=["a"]), "target", ["target.names"]),
    (None, "target.names", []),
])  # fmt: skip
def test_options_of_the_target_are_looked_into(
    options: Options | None, key: str, expected: list[str]
) -> None:
    """Tables inside the options are named to the key; without options nothing is."""
    assert list(changed_keys(recipe(), key, options)) == expected


def test_an_unread_key_is_a_problem_with_the_way_out() -> None:
    """Each key once, at its own place, with the target's advice."""
    info = TargetInfo("toy", "A toy.", API, Numerics(), Options)
    info = replace(info, unread={"quantize.method": "set target.names", "prune": "leave it out"})
    asked = recipe(quantize={"method": "minmax"}, prune={"sparsity": 0.5, "scope": "global"})
    found = unread_findings(asked, info)
    assert [(one.where, one.hint) for one in found] == [
        ("quantize.method", "set target.names"), ("prune.sparsity", "leave it out"),
        ("prune.scope", "leave it out"),
    ]  # fmt: skip
    assert {one.message for one in found} == {"no effect with target 'toy'"}
    assert {one.status for one in found} == {Status.FAILED}
    assert not unread_findings(recipe(), info)


def test_an_idle_key_is_a_warning_with_the_first_reason() -> None:
    """A section and a key of it make one warning, not two."""
    asked = recipe(distill={"weight": 0.1, "temperature": 2.0})
    found = idle_findings(asked, {"distill.weight": "on Sundays", "distill": "without a teacher"})
    assert [(one.where, one.message, one.status) for one in found] == [
        ("distill.weight", "no effect on Sundays", Status.WARNING),
        ("distill.temperature", "no effect without a teacher", Status.WARNING),
    ]


@pytest.mark.parametrize(("key", "expected"), [
    ("quantize", True), ("quantize.method", True), ("train.momentum", True),
    ("quantise.method", False), ("quantize.methods", False), ("target.qat", False),
    ("folder", False), ("train_steps", False), ("", False),
])  # fmt: skip
def test_keys_of_the_recipe_are_known(key: str, expected: bool) -> None:
    """Sections and their keys; the target's own options are not core's."""
    assert is_key(key) is expected
