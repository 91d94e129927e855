"""Recipe keys without effect: refused where the target never reads them, told where others do."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.pipeline.toys import Toy, toy_info, toy_recipe

from nibblefit.errors import PluginError, RecipeError
from nibblefit.plugins import Manager, check_info, plugin_of
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import check_recipe
from nibblefit.results import Status
from nibblefit.runner import make_manager, make_plan
from nibblefit.runner.findings import recipe_findings
from nibblefit.runner.recipes import RecipeChecks
from nibblefit.runner.silent import SilentReporter


def recipe(**changes: Any) -> Recipe:
    """Return a recipe of target `generic` with some sections."""
    stated = {"model": {"source": "net.onnx"}, "target": {"name": "generic"}}
    return Recipe.model_validate({**stated, **changes})


@pytest.mark.parametrize(("changes", "places"), [
    ({}, []),
    ({"data": {"path": "somewhere"}}, ["data.path"]),
    ({"data": {"source": "npz", "path": "x.npz"}}, []),
    ({"model": {"source": "net.onnx", "match": "by_name"}}, ["model.match"]),
    ({"model": {"source": "net.onnx", "match": "by_name", "weights": "w.npz"}}, []),
    ({"distill": {"temperature": 2.0, "weight": 0.5}}, ["distill.temperature", "distill.weight"]),
    ({"distill": {"teacher": "runs/big", "weight": 0.5}}, []),
    ({"prune": {"scope": "global"}}, ["prune.scope"]),
    ({"prune": {"scope": "global", "layers": {"stem": 0.5}}}, []),
    ({"quantize": {"percentile": 90.0}}, ["quantize.percentile"]),
    ({"quantize": {"percentile": 90.0, "method": "percentile"}}, []),
    ({"quantize": {"percentile": 90.0, "layers": {"a": {"method": "percentile"}}}}, []),
    ({"train": {"momentum": 0.5}}, ["train.momentum"]),
    ({"train_steps": {"float": {"momentum": 0.5}}}, ["train.float.momentum"]),
    ({"train": {"momentum": 0.5}, "train_steps": {"float": {"optimizer": "sgd"}}}, []),
    ({"train": {"momentum": 0.5, "optimizer": "sgd"}}, []),
])  # fmt: skip
def test_what_does_nothing_on_any_target_is_told(
    changes: dict[str, Any], places: list[str]
) -> None:
    """A warning for each key; with the one it belongs to, none."""
    asked = recipe(**changes)
    found = recipe_findings(make_manager(asked), asked)
    assert [one.where for one in found] == places
    assert {one.status for one in found} <= {Status.WARNING}


class Deaf(Toy):
    """Does not read how ranges are chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.info = toy_info(unread={"quantize": "set target.gain"})


def test_an_unread_key_is_refused_where_it_stands() -> None:
    """Refused with the recipe's line and once more by a run; not told a second time as idle."""
    asked = toy_recipe().model_copy(
        update={"quantize": recipe(quantize={"percentile": 90.0}).quantize}
    )
    told = r"quantize\.percentile: no effect with target 'toy'; set"
    with pytest.raises(RecipeError, match=told):
        check_recipe(asked, RecipeChecks(plugin_of(Deaf()), own_sources=True))
    manager = Manager(plugin_of(Deaf()))
    (found,) = recipe_findings(manager, asked)
    assert found.status is Status.FAILED
    with pytest.raises(RecipeError, match="does not fit") as caught:
        make_plan(asked, manager, SilentReporter())
    assert len(caught.value.problems) == 1
    make_plan(toy_recipe(), manager, SilentReporter())


@pytest.mark.parametrize(("unread", "words"), [
    ({"quantise.method": "x"}, "unread names 'quantise.method', which is no key"),
    ({"target.gain": "x"}, "unread names 'target.gain'"),
    ({"quantize": ""}, "expected what to use instead"),
])  # fmt: skip
def test_a_wrong_declaration_is_refused(unread: dict[str, str], words: str) -> None:
    """A key that does not exist would protect nobody; advice must say something."""
    toy = Toy()
    toy.info = toy_info(unread=unread)
    with pytest.raises(PluginError, match=words):
        check_info(toy, "toy", "toys")
