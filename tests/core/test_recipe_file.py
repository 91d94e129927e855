"""Reading recipes: every problem at once, with line, value, what is accepted, closest match."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from nibblefit.errors import ExitCode, RecipeError
from nibblefit.hooks import API, TargetInfo
from nibblefit.ir.numerics import Numerics
from nibblefit.recipe import Recipe, TrainSection
from nibblefit.recipe_file import (
    canonical_json,
    check_train_steps,
    override_recipe,
    parse_override,
    read_recipe,
    recipe_digest,
    recipe_toml,
    target_options,
)
from nibblefit.recipe_file.positions import key_lines, line_of
from nibblefit.recipe_file.reading import recipe_document

VALID = """\
# A full recipe.
[model]
source = "net.py:make"
arguments = { width = 8, name = "a = [b]" }
input_shape = [1, 8, 8]

[target]
name = "generic"
scales = "power_of_two"

[task]
kind = "classification"
options = { label_smoothing = 0.1 }

[data]
source = "digits"
range = [-1, 1]
std = [0.5]
augment = { shift = 1 }

[train]
epochs = 30
learning_rate = 1e-3
schedule = "cosine"

[[train.parameter_groups]]
patterns = ["stem.*"]

[train.qat]
epochs = 5
schedule_options = { floor = 0.01 }

[quantize.layers]
"stem.*" = { weight_bits = 8 }

[evaluate]
floor = 0.9

[run]
seed = 3
"""


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Return a function that writes a recipe file."""

    def writer(content: str | bytes) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return writer


def problems(path: Path, **overrides: Any) -> tuple[str, ...]:
    """Return the problems of a recipe that must have some."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, {k.replace("__", "."): v for k, v in overrides.items()})
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.problems


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe\x00model", "not UTF-8"),
        (b"\x7fELF\x00\x00", "binary"),
        (b"a = [" * 3000, "nested too deeply|not TOML"),
        (b"a = " + b"9" * 5000, "not TOML"),
        (b"[model\n", "not TOML.*line 1"),
        (b"x = 1\nx = 2\n", "not TOML"),
        (b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
        (b"", "2 problems"),
        (b"model = 3\ntarget = []", "line 1: model = 3: expected a table"),
        (b"train = [1]", "line 1: train = \\[1\\]: expected a table"),
    ],
)
def test_hostile_files_give_one_clear_error(content: bytes, message: str, write: Any) -> None:
    """Whatever the bytes, the answer is a RecipeError."""
    with pytest.raises(RecipeError, match=message):
        read_recipe(write(content))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    """Missing files, folders and devices are told apart."""
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "none.toml", "does not exist"),
        (Path("/dev/null"), "not a regular file"),
        (tmp_path / ("x" * 300), "cannot be read|does not exist"),
        (Path("a\0b"), "cannot be read|does not exist"),
    ):
        with pytest.raises(RecipeError, match=message):
            read_recipe(path)


def test_a_byte_order_mark_and_windows_lines_are_read(write: Any) -> None:
    """Editors add them."""
    raw = b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode()
    assert recipe_digest(read_recipe(write(raw))) == recipe_digest(read_recipe(write(VALID)))


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
        RecipeError, match=r"• .train.qat. fits no training step.*did you mean 'qta'"
    ):
        check_train_steps(recipe, ["qta", "float"])
    path.unlink()
    with pytest.raises(RecipeError, match="• unknown key 'scales'"):
        target_options(recipe, info(Bare))
    check_train_steps(recipe, ["qat"])


class Bare(BaseModel):
    """Options of a target that has none."""

    model_config = ConfigDict(extra="forbid")


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


def mutated(text: str, rng: random.Random) -> str:
    """Return a recipe with one to three random changes of characters, lines or values."""
    values = ["0", "-1", "1e99", "nan", '"x"', "[]", "{}", "true", "1979-05-27", "[[1], 2]"]
    values += ['"\\u0000"', "9" * 25, "{a = {b = [inf]}}", "''", "x"]
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        row = rng.randrange(len(lines))
        column = rng.randint(0, len(text))
        match rng.randrange(8):
            case 0:
                text = text[:column] + text[column + rng.randint(1, 4) :]
            case 1:
                junk = "".join(
                    rng.choice("[]{}=.,\"'#\n\\x0é-_ ") for _ in range(rng.randint(1, 3))
                )
                text = text[:column] + junk + text[column:]
            case 2:
                del lines[row]
                text = "\n".join(lines)
            case 3:
                lines.insert(rng.randrange(len(lines)), lines[row])
                text = "\n".join(lines)
            case 4 | 5:
                key, sign, _ = lines[row].partition("=")
                if sign:
                    lines[row] = f"{key}= {rng.choice(values)}"
                text = "\n".join(lines)
            case 6:
                text = text[:column]
            case 7:
                rng.shuffle(lines)
                text = "\n".join(lines)
    return text


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_mutated_recipes_each_read_or_are_explained(seed: int, write: Any) -> None:
    """Five hundred in all: a RecipeError or a recipe that can be digested, written and read."""
    rng = random.Random(seed)
    read = 0
    for _ in range(100):
        path = write(mutated(VALID, rng))
        try:
            recipe = read_recipe(path)
        except RecipeError:
            continue
        read += 1
        assert recipe_digest(read_recipe(write(recipe_toml(recipe)))) == recipe_digest(recipe)
    assert 0 < read < 100


@given(st.binary(max_size=60))
def test_random_bytes_are_explained(content: bytes) -> None:
    """No bytes make anything but a RecipeError."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "r.toml"
        path.write_bytes(content)
        with pytest.raises(RecipeError):
            read_recipe(path)


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
