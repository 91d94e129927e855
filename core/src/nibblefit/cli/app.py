"""The command tree. Commands import what they need when they run, so that help is instant."""

from __future__ import annotations

from typing import Annotated

import typer

import nibblefit
from nibblefit.cli.commands import check, init, inspect, report, run, show, stages, targets
from nibblefit.cli.flags import Command
from nibblefit.cli.target_commands import TargetCommands

app = typer.Typer(
    cls=TargetCommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # nibblefit.cli.entry explains errors
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nibblefit {nibblefit.__version__}")
        raise typer.Exit


@app.callback()
def nibblefit_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Fit neural networks to fixed-point edge chips.

    A **recipe** (a TOML file) names a network, its data and a **target** chip. A **run** trains,
    shrinks and quantizes the network, writes the chip vendor's files, and proves that every integer
    is right.

    Start here: `nibblefit init`, then `nibblefit run recipe.toml`, then `nibblefit report`.

    A target may bring commands of its own: `nibblefit TARGET --help`.
    """


_FIRST = "Start"
_RUN = "Run"
_STAGES = "One stage at a time"
_LOOK = "Look"
_PLUGINS = "Targets"

app.command("init", cls=Command, rich_help_panel=_FIRST)(init.init)
app.command("inspect", cls=Command, rich_help_panel=_FIRST)(inspect.inspect)
app.command("run", cls=Command, rich_help_panel=_RUN)(run.run)
for _stage, _command in stages.COMMANDS.items():
    app.command(_stage, cls=Command, rich_help_panel=_STAGES)(_command)
app.command("show", cls=Command, rich_help_panel=_LOOK)(show.show)
app.command("report", cls=Command, rich_help_panel=_LOOK)(report.report)
app.command("targets", cls=Command, rich_help_panel=_PLUGINS)(targets.targets)
app.command("check", cls=Command, rich_help_panel=_PLUGINS)(check.check)
