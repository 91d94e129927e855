"""Reading recipes: every problem at once, with line, value, what is accepted, closest match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
from pydantic import BaseModel
from tests.core.recipe_file.recipes import VALID, problems

from nibblefit.errors import RecipeError
from nibblefit.recipe import Recipe, TrainSection
from nibblefit.recipe_file import (
    canonical_json,
    override_recipe,
    parse_override,
    read_recipe,
    recipe_digest,
    recipe_toml,
)
from nibblefit.recipe_file.positions import key_lines, line_of
from nibblefit.recipe_file.reading import recipe_document


def test_a_valid_recipe_reads_as_written(write: Any, tmp_path: Path) -> None:
    """Sections, step tables, lists and free tables arrive where they belong."""
    recipe = read_recipe(write(VALID))
    assert recipe.model.input_shape == (1, 8, 8)
    assert recipe.target.model_extra == {"scales": "power_of_two"}
    assert recipe.data.range == (-1.0, 1.0)
    assert recipe.train.parameter_groups == ({"patterns": ["stem.*"]},)
    assert recipe.train_steps == {"qat": {"epochs": 5, "schedule_options": {"floor": 0.01}}}
    assert recipe.train_for("qat@2").epochs == 5
    assert recipe.train_for("qat").learning_rate == recipe.train_for("float").learning_rate
    assert recipe.train_for("float").epochs == 30
    assert recipe.folder == str(tmp_path.resolve())


def test_all_problems_come_together_with_their_lines(write: Any) -> None:
    """Unknown keys, wrong values and missing ones, from every section."""
    text = VALID.replace("epochs = 30", 'epochs = "30"').replace("floor = 0.9", "floor = 1.9")
    text = text.replace('source = "net.py:make"', "sorce = 1").replace("epochs = 5", "epohs = 5")
    text = text.replace("range = [-1, 1]", "range = [1, -1]").replace("[run]", "[runn]")
    text = text.replace('schedule = "cosine"', 'schedule = "cosin"').replace("0.5]", "0.0]")
    found = problems(write(text))
    expected = [
        (2, "model.source is missing"),
        (3, "unknown key 'sorce' in [model]; did you mean 'source'?"),
        (17, "data.range = [1, -1]: expected two numbers, the lower one first"),
        (18, "data.std = [0.0]: expected numbers above 0"),
        (22, "train.epochs = '30': expected a whole number"),
        (24, "did you mean 'cosine'?"),
        (30, "unknown key 'epohs' in [train.qat]; did you mean 'epochs'?"),
        (37, "evaluate.floor = 1.9: expected a number of at most 1"),
        (39, "unknown table 'runn' in the recipe; did you mean 'run'?"),
    ]
    assert len(found) == len(expected)
    for problem, (line, message) in zip(found, expected, strict=True):
        assert problem.startswith(f"line {line}: ")
        assert message in problem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 30", "epochs = true", "expected a whole number"),
        ("epochs = 30", "epochs = 3.5", "expected a whole number"),
        ("epochs = 30", "epochs = -1", "at least 0"),
        ("learning_rate = 1e-3", "learning_rate = 0", "above 0"),
        ("learning_rate = 1e-3", "learning_rate = inf", "finite"),
        ("learning_rate = 1e-3", "learning_rate = nan", "finite"),
        ("learning_rate = 1e-3", "learning_rate = 1979-05-27", "dates and times"),
        ("seed = 3", "seed = 3\nextensions = 'x'", "a list in"),
        ("seed = 3", "seed = 3\nextensions = [1]", "run.extensions[0] = 1: expected text"),
        ("range = [-1, 1]", "range = [1]", "data.range has too few entries"),
        ("range = [-1, 1]", "range = [1, 2, 3]", "at most 2 entries"),
        ('kind = "classification"', "kind = 3", "expected text in quotes"),
        ("input_shape = [1, 8, 8]", "input_shape = [1, 0, 8]", "input_shape[1] = 0"),
        ('"stem.*" = { weight_bits = 8 }', '"stem.*" = 8', "expected a table"),
        ("[evaluate]\nfloor = 0.9", "", ""),
        ("[evaluate]", "folder = 3\n[evaluate]", "quantize.layers.folder"),
        ("# A full", "train_steps = 3\nfolder = 'x'\n# A full", "unknown key 'folder'"),
        ("[train]\nepochs = 30", "[train]\nqat2 = 4\nepochs = 30", "unknown key 'qat2'"),
        ('name = "generic"', "name = []", "target.name = []: expected text"),
    ],
)
def test_values_of_the_wrong_kind_say_what_is_accepted(
    old: str, new: str, message: str, write: Any
) -> None:
    """TOML types are kept apart: no text for numbers, no true for 1."""
    assert old in VALID
    path = write(VALID.replace(old, new))
    if not message:
        assert read_recipe(path).evaluate.floor == 0.0
    else:
        assert any(message in problem for problem in problems(path)), problems(path)


def test_overrides_win_and_are_named_in_problems(write: Any) -> None:
    """Keys set from outside reach step tables and the target, and are checked like the file."""
    path = write(VALID)
    recipe = read_recipe(
        path, {"train.epochs": 3, "train.float.epochs": 4, "target.bits": 7, "data.path": "x"}
    )
    assert recipe.train.epochs == 3
    assert recipe.train_for("float").epochs == 4
    assert recipe.target.model_extra == {"scales": "power_of_two", "bits": 7}
    (problem,) = problems(path, train__epochs="x")
    assert problem.startswith("set from outside: train.epochs = 'x'")
    with pytest.raises(RecipeError, match="'epochs' is a value, not a table"):
        read_recipe(path, {"train.epochs.more": 1})
    with pytest.raises(RecipeError, match="a key looks like"):
        read_recipe(path, {"train.": 1})
    with pytest.raises(RecipeError, match=r"cannot set train.epochs"):
        read_recipe(path, {"train.epochs": object()})


def test_settings_from_the_command_line_are_toml_values_or_text() -> None:
    """``KEY=VALUE`` as ``--set`` takes it."""
    assert parse_override("train.epochs=3") == ("train.epochs", 3)
    assert parse_override("data.range=[0, 1.5]") == ("data.range", [0, 1.5])
    assert parse_override("run.device = cpu") == ("run.device", "cpu")
    assert parse_override("model.source=a.py:f=g") == ("model.source", "a.py:f=g")
    for wrong in ("train.epochs", "=3", "a..b=1"):
        with pytest.raises(RecipeError, match="write KEY=VALUE"):
            parse_override(wrong)


def test_a_written_recipe_reads_back_equal(write: Any) -> None:
    """recipe_toml is the inverse of read_recipe, odd texts included."""
    recipe = override_recipe(
        read_recipe(write(VALID)),
        {"model.arguments": {'q"uo\\te': 'a\n\t"b"\x7f', "ü": [1, [2.5], {"x": True}]},
         "train.b.epochs": 1},
    )  # fmt: skip
    again = read_recipe(write(recipe_toml(recipe)))
    assert recipe_document(again) == recipe_document(recipe)
    assert recipe_digest(again) == recipe_digest(recipe)


def test_the_digest_follows_meaning_not_spelling(write: Any) -> None:
    """Order, comments, defaults written out and the folder do not matter; values do."""
    first = read_recipe(write(VALID))
    reordered = VALID.replace("[run]\nseed = 3\n", "")
    second = read_recipe(write("[run]\nseed = 3\nthreads = 0\n" + reordered))
    assert recipe_digest(first) == recipe_digest(second)
    assert recipe_digest(override_recipe(first, {"run.seed": 4})) != recipe_digest(first)
    assert canonical_json({"b": (1, 2), "a": frozenset({"y", "x"})}) == '{"a":["x","y"],"b":[1,2]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_lines_of_keys_in_awkward_toml() -> None:
    """Multi-line strings, arrays, dotted and quoted keys, arrays of tables."""
    text = (
        'a = """\nb = 1\n[x]\n"""\n'  # 1-4
        "c = [\n  1, # ]\n  2,\n]\n"  # 5-8
        "'q.r'.s = {t = 1}\n"  # 9
        '[ "d.e" . f ]\n'  # 10
        "g = '''\n''' \n"  # 11-12
        "[[h]]\ni = 1\n[[h]]\ni = 2\n[h.j]\nk = 3"  # 13-18
    )
    tomli.loads(text)
    lines = key_lines(text)
    assert lines[("a",)] == 1
    assert lines[("c",)] == 5
    assert lines[("q.r", "s")] == 9
    assert line_of(lines, ("q.r", "s", "t")) == 9
    assert lines[("d.e", "f")] == 10
    assert lines[("d.e", "f", "g")] == 11
    assert lines[("h", "0", "i")] == 14
    assert lines[("h", "1", "i")] == 16
    assert lines[("h", "j", "k")] == 18
    assert ("b",) not in lines
    assert ("x",) not in lines
    assert line_of(lines, ("zzz",)) is None


def test_every_field_is_described() -> None:
    """The recipe reference and `init` are made from the descriptions."""
    for name, field in Recipe.model_fields.items():
        if name in ("folder", "file", "train_steps"):
            continue
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        for key, entry in section.model_fields.items():
            assert entry.description, f"{name}.{key}"
            assert entry.description.endswith((".", "}", ")")), f"{name}.{key}"
    assert "learning_rate" in TrainSection.model_fields


def test_what_a_recipe_cannot_mean_hides_no_other_problem(write: Any) -> None:
    """Dates, inf and nan come with the rest, and what they stand for is not called missing."""
    text = VALID.replace('source = "net.py:make"', "source = 1979-05-27")
    text = text.replace("range = [-1, 1]", "range = [nan, inf]").replace("epochs = 30", "epoch = 3")
    found = problems(write(text))
    expected = [
        (3, "model.source = 1979-05-27: dates and times"), (17, "data.range[0] = nan"),
        (17, "data.range[1] = inf"), (22, "unknown key 'epoch'"),
    ]  # fmt: skip
    assert len(found) == len(expected)
    for problem, (line, message) in zip(found, expected, strict=True):
        assert problem.startswith(f"line {line}: {message}")
