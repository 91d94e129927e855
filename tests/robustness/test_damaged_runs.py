"""A run folder with damaged files: nothing intact is lost, and running again repairs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.robustness.commands import assert_refused, here, short_run, training
from tests.robustness.damage import damaged
from tests.robustness.runs import digests, vendor_files

RECIPES = {"generic": "digits_generic.toml", "maxim": "digits_maxim.toml"}


def _files(run: Path) -> list[Path]:
    """Return every file of a run folder that matters, relative to it."""
    return sorted(p.relative_to(run) for p in run.rglob("*") if p.is_file() and p.name != ".lock")


def _looked_at(folder: Path, file: Path) -> None:
    """Look at a damaged run: shown as far as it is intact, or refused in one paragraph."""
    for words in (("show", str(folder)), ("show", str(folder), "--json")):
        outcome = here(*words)
        assert outcome.code in {0, 2}, (file, outcome.err)
        if outcome.code:
            assert_refused(outcome, 2, str(folder))


@pytest.fixture
def whole(request: pytest.FixtureRequest, target: str) -> Path:
    """Return the finished run of the chosen target."""
    run: Path = request.getfixturevalue(f"{target}_run")
    return run


@pytest.mark.parametrize("target", RECIPES)
def test_a_damaged_run_is_shown_or_explained(target: str, whole: Path, tmp_path: Path) -> None:
    """Each file of the folder once, by a damage of its own."""
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    for number, file in enumerate(_files(folder)):
        path = folder / file
        content = path.read_bytes()
        path.write_bytes(damaged(content, number))
        _looked_at(folder, file)
        path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize("target", RECIPES)
def test_many_damaged_runs_are_shown_or_explained(target: str, whole: Path, tmp_path: Path) -> None:
    """Each file of the folder ten times, and a report drawn of each."""
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    for number, file in enumerate(_files(folder) * 10):
        path = folder / file
        content = path.read_bytes()
        path.write_bytes(damaged(content, number))
        _looked_at(folder, file)
        outcome = here("report", str(folder), "--out", str(tmp_path / "report.html"))
        assert outcome.code in {0, 2}, (file, number, outcome.err)
        if outcome.code:
            assert_refused(outcome, 2)
        path.write_bytes(content)


def _repaired(recipe: str, whole: Path, folder: Path, files: list[Path], number: int) -> None:
    """Damage files, run again, and expect the digests of the whole run."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    for file in files:
        content = (folder / file).read_bytes()
        if content:
            (folder / file).write_bytes(damaged(content, number))
    outcome = here(*short_run(recipe, folder))
    assert outcome.code == 0, (files, number, outcome.err)
    assert digests(folder) == digests(whole), (files, number)
    assert vendor_files(folder) == vendor_files(whole), (files, number)


@pytest.mark.parametrize("target", RECIPES)
def test_running_again_repairs_whatever_is_damaged(
    target: str, whole: Path, tmp_path: Path
) -> None:
    """All files of the last steps and of the folder itself at once; the trained ones stay."""
    late = [file for file in _files(whole) if not file.as_posix().startswith(
        ("stages/01", "stages/02", "stages/04-qat"))]  # fmt: skip
    _repaired(RECIPES[target], whole, tmp_path / "run", late, 3)


@pytest.mark.slow
@pytest.mark.parametrize("target", RECIPES)
def test_running_again_repairs_every_single_file(target: str, whole: Path, tmp_path: Path) -> None:
    """Each file on its own: truncated, flipped, with a hole or overwritten."""
    for number, file in enumerate(_files(whole)):
        _repaired(RECIPES[target], whole, tmp_path / "run", [file], number)


def test_a_damaged_training_checkpoint_is_never_trusted(
    stopped_training: Path, tmp_path: Path
) -> None:
    """Newest one truncated or flipped, or all overwritten: the same weights in the end."""
    found = []
    for number in (0, 1, 4):
        folder = Path(shutil.copytree(stopped_training, tmp_path / f"run{number}"))
        checkpoints = sorted(folder.glob("scratch/float/*/epoch-*.ckpt"))
        assert len(checkpoints) >= 2
        for path in checkpoints[-1:] if number < 4 else checkpoints:
            path.write_bytes(damaged(path.read_bytes(), number))
        outcome = here(*training(folder))
        assert outcome.code == 0, outcome.err
        found.append(digests(folder))
    assert here(*training(tmp_path / "whole")).code == 0
    assert all(one == digests(tmp_path / "whole") for one in found)
