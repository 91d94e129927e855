"""Mutated recipes: a valid recipe or an explained error, never anything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.robustness.commands import assert_refused, command, here, message_of
from tests.robustness.mutations import example_texts, mutated
from tests.robustness.people import closed_folder

from nibblefit.errors import NibblefitError, StageError
from nibblefit.recipe_file import read_recipe
from nibblefit.runner import RecipeSources, SilentReporter, make_manager, make_plan, make_setting

#: Characters that would move the cursor or hide text on a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _construct(path: Path) -> None:
    """Do everything a recipe decides before its first step."""
    recipe = read_recipe(path)
    manager = make_manager(recipe)
    make_setting(recipe, manager)
    make_plan(recipe, manager, SilentReporter())
    sources, info = RecipeSources(), manager.target.info
    sources.device(recipe)
    sources.task(recipe, info)
    sources.network(recipe, info)


def _constructed_all(numbers: range, root: Path, folder: Path) -> dict[str, int]:
    texts, path = example_texts(root, folder), folder / "recipe.toml"
    counts, longest = {"valid": 0, "refused": 0}, ""
    for number in numbers:
        path.write_bytes(mutated(texts[number % len(texts)], number))
        try:
            _construct(path)
            counts["valid"] += 1
        except StageError:
            raise
        except NibblefitError as error:
            counts["refused"] += 1
            longest = max(longest, str(error), key=len)
        except Exception as error:
            error.add_note(f"mutation {number} of the examples")
            raise
    assert len(longest) < 10_000
    return counts


def test_mutated_recipes_are_valid_or_explained(root: Path, tmp_path: Path) -> None:
    """Five hundred mutations; many of either kind, so that both sides are really tried."""
    counts = _constructed_all(range(500), root, tmp_path)
    assert counts["valid"] > 25
    assert counts["refused"] > 250


@pytest.mark.slow
def test_many_mutated_recipes_are_valid_or_explained(root: Path, tmp_path: Path) -> None:
    """Five thousand more."""
    _constructed_all(range(500, 5500), root, tmp_path)


def _through_the_command_line(numbers: range, root: Path, folder: Path) -> int:
    texts, path = example_texts(root, folder), folder / "recipe.toml"
    refused = 0
    for number in numbers:
        path.write_bytes(mutated(texts[number % len(texts)], number))
        words = ("prepare", str(path), "--folder", str(folder / "run"), "--set", "train.epochs=1")
        outcome = here(*words)
        if outcome.code == 0:
            continue
        refused += 1
        # A target nobody installed is exit code 3, a limit of the chip 4; the rest is usage.
        assert_refused(outcome, outcome.code)
        assert outcome.code in {2, 3, 4}, outcome.err
        assert not _UNPRINTABLE.search(message_of(outcome)), (number, outcome.err)
    return refused


def test_the_command_line_explains_mutated_recipes(root: Path, tmp_path: Path) -> None:
    """A sample through ``nibblefit prepare``: one paragraph, no traceback, the exit code."""
    assert _through_the_command_line(range(60), root, tmp_path) > 20


@pytest.mark.slow
def test_the_command_line_explains_many_mutated_recipes(root: Path, tmp_path: Path) -> None:
    """All five hundred through ``nibblefit prepare``."""
    assert _through_the_command_line(range(500), root, tmp_path) > 250


def test_all_problems_come_in_one_message_with_lines(tmp_path: Path) -> None:
    """As a real process: every problem with its line and the closest key, exit code 2."""
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[model]\nsource = 3\n\n[target]\nname = "generic"\n\n[train]\nepoch = 3\n'
        'batch_size = 0\nlearning_rate = "fast"\n\n[dta]\nsource = "digits"\n'
    )
    outcome = command("run", str(path), cwd=tmp_path)
    assert_refused(outcome, 2, "5 problems", "line 2: model.source", "line 8: unknown key 'epoch'",
                   "did you mean 'epochs'?", "line 9: train.batch_size", "line 10:",
                   "line 12: unknown table 'dta'")  # fmt: skip
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "setting",
    [
        "run.seed=-1", "run.seed=18446744073709551616", "run.threads=99999999999999999999",
        "train.epochs=99999999999999999999", "train.batch_size=99999999999999999999",
        "data.workers=1000000", "train.processes=99999999999999999999",
        "quantize.calibration_samples=99999999999999999999", "evaluate.batch_size=1e30",
        "model.input_shape=[99999999999999999999]",
    ],
)  # fmt: skip
def test_numbers_no_machine_can_take_are_refused(setting: str, root: Path, tmp_path: Path) -> None:
    """Counts beyond 2³¹, seeds outside 0 … 2⁶³: named with what is accepted."""
    example = str(root / "examples/digits_generic.toml")
    outcome = here("run", example, "--folder", str(tmp_path / "run"), "--set", setting)
    assert_refused(outcome, 2, setting.partition("=")[0], "expected")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("key", ["model.source", "model.weights", "data.path"])
@pytest.mark.parametrize("text", ["a" * 300 + ".onnx", "a/" * 2000, "\\u0000.onnx"])
def test_paths_no_file_system_takes_are_refused(
    key: str, text: str, root: Path, tmp_path: Path
) -> None:
    """Too long, or with a NUL: named by key, before anything is touched."""
    example = str(root / "examples/digits_generic.toml")
    words = ("--set", f'{key}="{text}"', "--set", 'data.source="npz"')
    outcome = here("run", example, "--folder", str(tmp_path / "run"), *words)
    assert_refused(outcome, 2, key, "a path")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_may_not_be_looked_into(root: Path, tmp_path: Path) -> None:
    """Network and data below a closed folder: permission denied, as one clear line."""
    # Whoever is nobody may not be able to import what a command imports late: do so before.
    for source in ("networks/none.py:f", "networks/digits_cnn.py:build"):
        words = ("--folder", str(tmp_path), "--set", f"model.source={source}")
        here("prepare", str(root / "examples/digits_generic.toml"), *words)
    values = {
        "model.source": "shut/x.py:f",
        "model.weights": "shut/x.pt",
        "data.path": "shut/x.npz",
    }
    with closed_folder() as place:
        example = str(place / "examples/digits_generic.toml")
        for key, value in values.items():
            words = ("--set", f"{key}={place}/{value}", "--set", 'data.source="npz"')
            words = words if key == "data.path" else words[:2]
            outcome = here("prepare", example, "--folder", str(place / "run"), *words)
            assert_refused(outcome, 2, "shut/x")
            assert "denied" in outcome.err
