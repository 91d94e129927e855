"""``nibblefit run``: carry out a recipe."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from nibblefit.cli.commands.options import Folder, Json, Recipe, Settings
from nibblefit.cli.execute import execute


def run(
    *,
    context: typer.Context,
    recipe: Recipe,
    folder: Folder = None,
    from_step: Annotated[
        str, typer.Option("--from", metavar="STEP", help="Run this step and all after it anew.")
    ] = "",
    until: Annotated[
        str, typer.Option("--until", metavar="STEP", help="End after this step.")
    ] = "",
    force: Annotated[
        Optional[list[str]],  # noqa: UP045 - the option parser reads this
        typer.Option("--force", metavar="STEP", help="Run this step anew. May be repeated."),
    ] = None,
    settings: Settings = None,
    as_json: Json = False,
) -> None:
    """Carry out a recipe: train, shrink, quantize, write the chip's files, measure.

    Every finished step stays in the run folder. Running again repeats only what a changed recipe,
    network or data set affects, and says why; after Ctrl-C, or a power cut, the same command
    carries on where it stopped.

    **Example:** `nibblefit run recipe.toml --set train.epochs=3`

    **Next:** `nibblefit show runs/recipe` lists steps and numbers, `nibblefit report runs/recipe`
    draws them.
    """
    execute(context.obj, recipe, folder, verb="run", from_=from_step, until=until,
            force=tuple(force or ()), settings=settings or (), as_json=as_json)  # fmt: skip
