"""Runs that are killed, stopped or fail, and go on later."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.pipeline.toys import (
    Toy,
    go,
    toy_recipe,
)

from nibblefit import open_run
from nibblefit.errors import (
    InterruptedRunError,
    LimitError,
    StageError,
)


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it and go on."""


def moments_of_a_run(folder: Path) -> list[str]:
    """Return every point at which the toy can be stopped."""
    toy, seen = Toy(), []
    toy.moment = seen.append
    go(folder, toy)
    return seen


def test_a_run_killed_anywhere_ends_in_the_same_digests(tmp_path: Path) -> None:
    """Resuming after a stop at every point of every stage gives what an unbroken run gives."""
    moments = moments_of_a_run(tmp_path / "whole")
    expected = go(tmp_path / "whole").digests
    assert len(moments) >= 10
    for number, moment in enumerate(moments):
        toy, folder = Toy(), tmp_path / str(number)

        def stop(name: str, moment: str = moment) -> None:
            if name == moment:
                raise Killed(name)

        toy.moment = stop
        with pytest.raises(Killed):
            go(folder, toy)
        assert go(folder).digests == expected
        assert not list((folder / "scratch").iterdir())


def test_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """The scratch folder survives a stop, so finished epochs are not repeated."""
    toy, epochs = Toy(), []

    def stop(name: str) -> None:
        epochs.append(name)
        if name == "float:epoch1":
            raise Killed

    toy.moment = stop
    with pytest.raises(Killed):
        go(tmp_path, toy)
    toy.moment = epochs.append
    go(tmp_path, toy)
    assert [e for e in epochs if "epoch" in e] == ["float:epoch0", "float:epoch1", "float:epoch2"]


def test_a_checkpoint_of_another_recipe_is_thrown_away(tmp_path: Path) -> None:
    """A stale scratch folder never leaks into a run with other settings."""
    toy = Toy()

    def stop(name: str) -> None:
        if name == "float:epoch1":
            raise Killed

    toy.moment = stop
    with pytest.raises(Killed):
        go(tmp_path / "a", toy)
    changed = toy_recipe(target__gain=0.5)
    assert go(tmp_path / "a", recipe=changed).digests == go(tmp_path / "b", recipe=changed).digests


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    """A KeyboardInterrupt becomes exit status 130 and a line that says how to resume."""
    toy = Toy()

    def stop(name: str) -> None:
        if name == "float:epoch0":
            raise KeyboardInterrupt

    toy.moment = stop
    with pytest.raises(InterruptedRunError, match=r"step 'float'.*\n.*same command") as caught:
        go(tmp_path, toy)
    assert caught.value.exit_code == 130
    assert open_run(tmp_path).journal()[-1]["event"] == "interrupted"


def test_an_error_of_the_plugin_is_wrapped_once_and_kept(tmp_path: Path) -> None:
    """The text names plugin, package, hook and step; the traceback lies in the run folder."""
    toy = Toy()

    def fail(name: str) -> None:
        if name == "quantize:begin":
            raise ZeroDivisionError("seven by zero")

    toy.moment = fail
    with pytest.raises(StageError) as caught:
        go(tmp_path, toy)
    text = str(caught.value)
    for part in ("quantize", "target 'toy'", "tests", "ZeroDivisionError: seven by zero"):
        assert part in text
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    kept = tmp_path / "errors" / "quantize.txt"
    assert str(kept) in text
    assert "seven by zero" in kept.read_text()
    assert open_run(tmp_path).journal()[-2]["event"] == "failed"
    assert go(tmp_path).complete
    assert not kept.exists()


def test_a_written_error_passes_unchanged(tmp_path: Path) -> None:
    """What a plugin already explained is not wrapped again."""
    toy = Toy()
    error = LimitError("too large", hint="shrink it")

    def fail(name: str) -> None:
        if name == "compile:begin":
            raise error

    toy.moment = fail
    with pytest.raises(LimitError) as caught:
        go(tmp_path, toy)
    assert caught.value is error


def test_a_gate_stops_the_run_with_advice(tmp_path: Path) -> None:
    """The steps before a closed gate are kept; a changed recipe goes on from there."""
    with pytest.raises(LimitError, match=r"gate 'floor' is closed.*0.2.*\n.*raise target.quality"):
        go(tmp_path, recipe=toy_recipe(target__quality=0.2))
    assert open_run(tmp_path).steps == ("prepare", "float", "evaluate_float")
    assert go(tmp_path, recipe=toy_recipe(target__quality=0.8)).gates[0].holds
