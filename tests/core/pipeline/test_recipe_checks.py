"""What readers, target and plugins find wrong in a recipe, together with the schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from tests.core.pipeline.toys import Toy, go, toy_info, toy_recipe

from nibblefit.errors import PluginError, RecipeError
from nibblefit.hooks import hookimpl
from nibblefit.plugins import plugin_of
from nibblefit.quantization.layer_options import METHOD_NAMES
from nibblefit.quantization.ranges import METHODS
from nibblefit.recipe_file import check_recipe
from nibblefit.results import Finding, Status
from nibblefit.runner import load_recipe
from nibblefit.runner.recipes import RecipeChecks

GOOD = """\
[model]
source = "net.py:make"
[target]
name = "generic"
[data]
source = "npz"
path = "x.npz"
augment = { shift = 2 }
[data.options]
layout = "gray"
[task]
options = { label_smoothing = 0.1 }
[train]
schedule = "step"
schedule_options = { milestones = [3] }
[train.float]
epochs = 3
[[train.float.parameter_groups]]
patterns = ["x"]
[quantize.layers."stem.*"]
weight_bits = 4
[prune]
sparsity = 0.5
layers = { stem = 0.2 }
"""


def problems(folder: Path, *changes: tuple[str, str]) -> tuple[str, ...]:
    """Return what is wrong with the good recipe after replacing texts."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "r.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(folder / "r.toml")
    return caught.value.problems


def test_a_good_recipe_passes_every_check(tmp_path: Path) -> None:
    """The recipe that the other tests spoil."""
    (tmp_path / "r.toml").write_text(GOOD)
    assert load_recipe(tmp_path / "r.toml").train_for("float").epochs == 3


def test_problems_of_all_sections_come_in_one_go(tmp_path: Path) -> None:
    """Schema, options of readers, task and target, schedules, layers: each with its line."""
    found = problems(
        tmp_path,
        ('name = "generic"', 'name = "generic"\nscale = "float"'),
        ("shift = 2", "shft = 2, flip = 1"), ("layout", "layot"),
        ("label_smoothing = 0.1", "label_smoothing = 1.5"), ("milestones", "milestone"),
        ("epochs = 3", "epoch = 3"), ("patterns", "patern"), ("weight_bits = 4", "weight_bit = 4"),
        ("sparsity = 0.5", "sparsity = 1.0"), ("stem = 0.2", "stem = -1"),
    )  # fmt: skip
    expected = [
        (5, "unknown key 'scale' in [target]; did you mean 'scales'?"),
        (9, "data.augment.flip = 1: expected true or false"),
        (9, "unknown key 'shft' in [data.augment]; did you mean 'shift'?"),
        (11, "unknown key 'layot' in [data.options] of source 'npz'; did you mean 'layout'?"),
        (13, "task.options.label_smoothing = 1.5: expected a number below 1"),
        (16, "unknown key 'milestone' in [train.schedule_options] of schedule 'step'; did you"),
        (18, "unknown key 'epoch' in [train.float]; did you mean 'epochs'?"),
        (19, "train.float.parameter_groups[0].patterns is missing"),
        (20, "unknown key 'patern' in [train.float.parameter_groups[0]]; did you mean 'patterns'"),
        (22, "unknown key 'weight_bit' in [quantize.layers.stem.*]; did you mean 'weight_bits'?"),
        (24, "prune.sparsity = 1.0: expected a number below 1"),
        (25, "prune.layers.stem = -1: expected a number of at least 0"),
    ]
    assert [int(text.split(":")[0].removeprefix("line ")) for text in sorted_by_line(found)] == [
        line for line, _ in expected
    ]
    for line, sentence in expected:
        assert any(text.startswith(f"line {line}: {sentence}") for text in found), (line, found)


def sorted_by_line(found: tuple[str, ...]) -> list[str]:
    """Return problems in the order of their lines, to compare with an expected order."""
    return sorted(found, key=lambda text: int(text.split(":")[0].removeprefix("line ")))


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ('"npz"', '"nzp"', 6, "data.source = 'nzp': there is no such source; did you mean 'npz'?"),
        ("[task]", '[task]\nkind = "clasification"', 12, "there is no such task; did you mean"),
        ('"generic"', '"generc"', 4, "target.name = 'generc': there is no target"),
        ("[train]", '[run]\nextensions = ["nope"]\n[train]', 14, "there is no extension 'nope'"),
        ('path = "x.npz"', "", 6, "data.source = 'npz' needs data.path"),
        ("[train.float]", "[train.flota]", 16, "fits no training step of the plan; did you mean"),
        ('"gray"', "3", 10, "data.options.layout = 3: expected 'auto'"),
        ("[quantize.layers", '[quantize]\nmethod = "msee"\n[quantize.layers', 21,
         "quantize.method = 'msee': expected minmax, percentile, mse, entropy; did you mean 'mse'"),
        ("[train.float]", '[train.float]\nschedule = "poly"', 15,
         "unknown key 'milestones' in [train.schedule_options] of schedule 'poly' in [train."),
    ],
)  # fmt: skip
def test_one_problem_is_one_line_with_file_and_line(
    old: str, new: str, line: int, sentence: str, tmp_path: Path
) -> None:
    """Where it is, what is wrong, what is closest."""
    (tmp_path / "r.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.toml")
    text = str(caught.value)
    assert text.startswith(f"recipe {tmp_path}/r.toml, line {line}: ")
    assert sentence in text
    assert "\n" not in text
    assert text.count("known:") <= 1


def test_long_words_are_cut(tmp_path: Path) -> None:
    """A message never drowns in what somebody pasted."""
    for old in ('"npz"', '"generic"', '"gray"', '"stem.*"', "milestones"):
        new = "a" * 3000 if old == "milestones" else f'"{"a" * 3000}"'
        assert all(len(text) < 400 for text in problems(tmp_path, (old, new), ("= 3", '= "x"')))


def test_recipes_made_in_python_are_checked_when_they_run(tmp_path: Path) -> None:
    """Nothing is written for a recipe that a reader would refuse later."""
    recipe = toy_recipe(train__schedule_options={"flor": 1}, data__augment={"shift": -1})
    with pytest.raises(RecipeError, match="did you mean 'floor'"):
        go(tmp_path / "run", recipe=recipe)
    with pytest.raises(RecipeError, match=r"(?s)3 problems.*flor.*needs data.path.*shift"):
        check_recipe(recipe, RecipeChecks(plugin_of(Toy())))
    assert not (tmp_path / "run").exists()


class OwnLayers(BaseModel):
    """Per-layer settings of a toy."""

    model_config = ConfigDict(extra="forbid")
    codes: int = 3


def test_a_target_says_what_its_layers_may_set(tmp_path: Path) -> None:
    """With its own quantizer and nothing declared, only the target knows."""
    recipe = toy_recipe(quantize__layers={"fc": {"code": 2}})
    go(tmp_path / "free", recipe=recipe)
    toy = Toy()
    toy.info = toy_info(layer_options=OwnLayers)
    with pytest.raises(RecipeError, match="did you mean 'codes'"):
        go(tmp_path / "declared", toy, recipe)


class Broken(Toy):
    """A target that fails while it looks for problems."""

    @hookimpl
    def recipe_problems(self, recipe: Any) -> Any:
        raise ValueError("oops")


def test_the_users_mistakes_come_before_a_broken_plugin(tmp_path: Path) -> None:
    """Alone, the plugin's fault is reported."""
    with pytest.raises(RecipeError, match="flor"):
        go(tmp_path, Broken(), toy_recipe(train__schedule_options={"flor": 1}))
    with pytest.raises(PluginError, match="recipe_problems failed in target 'toy'"):
        go(tmp_path, Broken())


class Critic:
    """An extension that points at a key."""

    @hookimpl
    def recipe_problems(self, recipe: Any) -> Any:
        return [Finding("critic.a", Status.FAILED, "too many", "train.float.epochs", "use 2")]


def test_findings_of_plugins_get_the_line_of_the_key_they_name(tmp_path: Path) -> None:
    """`where` of a finding is a key of the recipe."""
    checks = RecipeChecks(extensions=[plugin_of(Critic(), name="critic")])
    (tmp_path / "r.toml").write_text(GOOD)
    with pytest.raises(RecipeError, match=r"line 17: train\.float\.epochs: too many; use 2"):
        check_recipe(load_recipe(tmp_path / "r.toml"), checks)


def test_the_recipe_knows_every_range_method() -> None:
    """The names are written down once more where torch must not be imported."""
    assert tuple(METHODS) == METHOD_NAMES
