"""``nibblefit init``: write a commented recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nibblefit.cli.commands.options import Data, Model, Part, Target
from nibblefit.errors import InputError, WorkspaceError

if TYPE_CHECKING:
    from nibblefit.plugins import Plugin


def init(
    *,
    file: Annotated[Path, typer.Argument(help="Recipe to write.")] = Path("recipe.toml"),
    target: Target = "generic",
    part: Part = "",
    model: Model = "",
    data: Data = "digits",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing recipe.")] = False,
) -> None:
    """Write a commented recipe for a target: every key, explained, with its default.

    **Example:** `nibblefit init --target generic --data digits digits.toml`

    **Next:** read the file, change what you like, then `nibblefit run digits.toml`.
    """
    from nibblefit.cli.inspection import chosen_part
    from nibblefit.cli.output import write_line
    from nibblefit.cli.recipe_text import recipe_text
    from nibblefit.plugins import load_target

    chosen = _chosen_data(data, file.parent)
    plugin = load_target(target)
    info = plugin.info
    chosen["target.name"] = info.name
    if part:
        chosen["target.part"] = chosen_part(info, part)
    files: dict[Path, str] = {}
    if model:
        chosen["model.source"] = _from_folder(model, file.parent)
    else:
        from nibblefit.cli import starter

        chosen["model.source"] = f"{starter.FILE_NAME}:{starter.FACTORY}"
        network = file.parent / starter.FILE_NAME
        if network.exists():
            write_line(f"kept {network}")  # --force is about the recipe, not the user's network
        else:
            files[network] = starter.TEXT
    files[file] = recipe_text(info, chosen, train_steps=_train_steps(plugin))
    _write(files, overwrite=force)
    for path in files:
        write_line(f"wrote {path}")
    write_line(f"next: nibblefit run {file}")


def _train_steps(target: Plugin) -> list[str]:
    """Return the training steps of the plan that the target makes for its default options."""
    from nibblefit.plan import Stage
    from nibblefit.plugins import Manager
    from nibblefit.recipe import ModelSection, Recipe, TargetSection
    from nibblefit.runner.planning import steps_of

    recipe = Recipe(model=ModelSection(source="-"), target=TargetSection(name=target.name))
    plan = Manager(target).plan(recipe)
    return [step.name for step in steps_of(plan) if step.stage is Stage.TRAIN]


def _chosen_data(data: str, folder: Path) -> dict[str, Any]:
    kind, _, path = data.partition(":")
    chosen: dict[str, Any] = {"data.source": kind}
    if path:
        chosen["data.path"] = _from_folder(path, folder)
    elif kind != "digits":
        raise InputError(
            f"--data {data} names no path", hint=f"write --data {kind}:PATH, or --data digits"
        )
    return chosen


def _from_folder(source: str, folder: Path) -> str:
    """Return a path given from the current folder as seen from the recipe's folder."""
    path, colon, factory = source.partition(":")
    if not Path(path).exists() or Path(path).is_absolute():
        return source
    return Path(os.path.relpath(path, folder)).as_posix() + colon + factory


def _write(files: dict[Path, str], *, overwrite: bool) -> None:
    for path in files:
        if path.is_dir():
            raise InputError(f"{path} is a folder", hint="give the name of a file to write")
        if path.exists() and not overwrite:
            raise InputError(
                f"{path} exists and is left as it is",
                hint="give another file name, or --force to overwrite",
            )
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise WorkspaceError(
                f"cannot write {path}: {error.strerror}", hint="choose a folder you can write to"
            ) from error
