"""The run folder: where everything of a run lies, and how a step's result gets there."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nibblefit.errors import RecipeError, WorkspaceError
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import digest_of, plain, read_recipe, recipe_toml
from nibblefit.workspace.journal import Journal
from nibblefit.workspace.manifest import (
    FILE_NAME,
    VALUE,
    Manifest,
    damage,
    digests_of,
    read_manifest,
    value_digest,
    write_manifest,
)
from nibblefit.workspace.storage import (
    explained,
    make_folder,
    new_sibling,
    remove_folder,
    settle,
    swap_in,
    sync_folder_tree,
    write_file,
)
from nibblefit.workspace.values import Value, kind_of, load_value, save_value

#: Folder names below ``stages/``: ``("02-train",)`` or ``("04-search", "fast", "01-train")``.
Place: TypeAlias = tuple[str, ...]
_NUMBERED = re.compile(r"(\d+)-(.+)")


class StepFolder:
    """The folder of one step.

    It holds ``manifest.json``, the value in ``value/`` and whatever files the stage wrote. All of
    it appears at once: a step that was killed leaves the previous result, or none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def settle(self) -> None:
        """Clear up after a kill."""
        settle(self.path, FILE_NAME)

    def manifest(self) -> Manifest | None:
        """Return the manifest, None if the step has not finished; WorkspaceError if damaged."""
        return read_manifest(self.path)

    def begin(self) -> Path:
        """Return an empty folder in which the step's files are prepared."""
        new = new_sibling(self.path)
        remove_folder(new)
        return make_folder(new)

    def commit(self, value: Value, *, step: str, stage: str, ingredients: Mapping[str, Any],
               seconds: float) -> Manifest:  # fmt: skip
        """Save the value beside the prepared files and put the folder in its place."""
        new = new_sibling(self.path)
        with explained(f"write {self.path}"):
            save_value(value, new / VALUE)
            files = digests_of(new)
        manifest = Manifest(
            step=step, stage=stage, kind=kind_of(value).value,
            key=digest_of(ingredients), ingredients=plain(ingredients), files=files,
            digest=value_digest(files), finished=dt.datetime.now(dt.UTC).isoformat(),
            seconds=round(seconds, 3),
        )  # fmt: skip
        sync_folder_tree(new)
        write_manifest(manifest, new)
        swap_in(self.path)
        return manifest

    def load(self) -> Value:
        """Return the step's value, freshly read.

        Raises:
            WorkspaceError: The step has not finished, or its files are damaged.
        """
        manifest = self.manifest()
        if manifest is None:
            raise WorkspaceError(f"{self.path} holds no finished step", hint="run it first")
        faults = damage(manifest, self.path)
        if faults:
            raise WorkspaceError(f"{self.path} is damaged: {faults[0]}", hint="run it again")
        return load_value(manifest.kind, self.path / VALUE)


class RunFolder:
    """A run folder on disk.

    Attributes:
        path: Its path.
        journal: Its journal.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.journal = Journal(self.path / "journal.jsonl")

    @property
    def stages(self) -> Path:
        """Folder of all step folders."""
        return self.path / "stages"

    def create(self) -> None:
        """Make the folder, unless it exists."""
        make_folder(self.path)
        make_folder(self.stages)

    def step(self, place: Place) -> StepFolder:
        """Return the folder of a step, tidied after a kill and renumbered if the plan changed."""
        folder = StepFolder(self.group(place[:-1]) / place[-1])
        _renumber(folder.path)
        folder.settle()
        return folder

    def group(self, place: Place) -> Path:
        """Return the folder of a repeat, a round, a search or a candidate; makes it."""
        path = self.stages
        for name in place:
            path /= name
            _renumber(path)
        return make_folder(path)

    def scratch(self, step: str, key: str) -> Path:
        """Return the step's folder for checkpoints; those of another key are thrown away."""
        parent = make_folder(self.path / "scratch" / step)
        with explained(f"read {parent}"):
            stale = [path for path in parent.iterdir() if path.name != key]
        for path in stale:
            remove_folder(path)
        return make_folder(parent / key)

    def drop_scratch(self, step: str) -> None:
        """Remove a finished step's checkpoints."""
        remove_folder(self.path / "scratch" / step)

    def write_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe as run: ``recipe.toml`` to read, ``recipe.json`` to open again."""
        self._write("recipe.toml", _recipe_text(recipe))
        self._write("recipe.json", recipe.model_dump_json(indent=1) + "\n")

    def write_plan(self, order: tuple[str, ...]) -> None:
        """Keep the names of the plan's items in order."""
        self._write("plan.json", json.dumps({"order": order}, indent=1) + "\n")

    def write_group(self, place: Place, facts: Mapping[str, Any]) -> None:
        """Keep the outcome of a repeat or a search in its folder."""
        path = self.group(place) / "outcome.json"
        write_file(path, (json.dumps(plain(facts), indent=1, sort_keys=True) + "\n").encode())

    def write_traceback(self, step: str, text: str) -> Path:
        """Keep the full traceback of a failure; returns its file."""
        path = make_folder(self.path / "errors") / f"{step}.txt"
        write_file(path, text.encode())
        return path

    def drop_traceback(self, step: str) -> None:
        """Remove the traceback of a step that has succeeded since."""
        path = self.path / "errors" / f"{step}.txt"
        with explained(f"remove {path}"):
            path.unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        path, content = self.path / name, text.encode()
        if not path.is_file() or path.read_bytes() != content:
            write_file(path, content)


def _recipe_text(recipe: Recipe) -> str:
    """Return the user's own text if it says exactly what was run, else the recipe written out."""
    if recipe.file:
        try:
            if read_recipe(recipe.file) == recipe:
                return Path(recipe.file).read_text("utf-8")
        except (RecipeError, OSError, UnicodeDecodeError):
            pass  # the file is gone or has changed since it was read
    return recipe_toml(recipe)


def _renumber(path: Path) -> None:
    """Rename ``02-train`` to ``03-train`` when a changed plan moved the step."""
    match = _NUMBERED.fullmatch(path.name)
    if match is None or path.exists() or not path.parent.is_dir():
        return
    with explained(f"rename a step folder to {path}"):
        for other in sorted(path.parent.iterdir()):
            found = _NUMBERED.fullmatch(other.name)
            if found and found[2] == match[2] and other.is_dir():
                other.rename(path)
                return
