"""One verb per stage: ``nibblefit train`` is ``nibblefit run`` that ends with the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import typer

from nibblefit.cli.commands.options import Folder, Json, Recipe, Settings
from nibblefit.cli.execute import execute

#: Names of `nibblefit.plan.Stage`, not imported here: help must not wait for numpy.
_PURPOSES: Mapping[str, tuple[str, str]] = {
    "prepare": (
        "Capture the network, check it against the target and bring it into trainable shape.",
        "train",
    ),
    "train": ("Train the network: every training of the target's plan.", "quantize"),
    "prune": ("Remove weights, if the target's plan prunes.", "quantize"),
    "quantize": ("Choose number formats and make the integer graph.", "compile"),
    "compile": ("Write the files that the chip vendor's tools consume.", "evaluate"),
    "evaluate": ("Measure every network of the plan on the test split.", "report"),
}


def _command(stage: str, purpose: str, following: str) -> Callable[..., None]:
    def command(
        context: typer.Context,
        recipe: Recipe,
        folder: Folder = None,
        settings: Settings = None,
        as_json: Json = False,
    ) -> None:
        execute(context.obj, recipe, folder, verb=stage, until=stage, settings=settings or (),
                as_json=as_json)  # fmt: skip

    after = f"{following} RUN" if following == "report" else f"{following} RECIPE"
    command.__name__ = stage
    command.__doc__ = f"""{purpose}

    Everything before the stage runs too, unless it is already in the run folder: all verbs and
    `nibblefit run` share that folder, so going step by step costs nothing twice. It ends after the
    plan's last {stage} step.

    **Example:** `nibblefit {stage} recipe.toml`

    **Next:** `nibblefit {after.replace("RECIPE", "recipe.toml").replace("RUN", "runs/recipe")}`
    """
    return command


COMMANDS = {
    stage: _command(stage, purpose, following) for stage, (purpose, following) in _PURPOSES.items()
}
