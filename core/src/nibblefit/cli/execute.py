"""Carry out a recipe for the commands that run something."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nibblefit.cli.invocation import Invocation
from nibblefit.errors import MissingExtraError

#: Run folders lie here unless --folder says otherwise.
RUNS = Path("runs")


def folder_for(recipe: Path, folder: Path | None) -> Path:
    """Return the run folder: the given one, else ``runs/<recipe name>``."""
    return folder if folder is not None else RUNS / recipe.stem


def overrides_of(settings: Sequence[str]) -> Mapping[str, Any]:
    """Return the ``--set`` options as dotted key → value."""
    from nibblefit.recipe_file import parse_override

    return dict(parse_override(setting) for setting in settings)


def resume_command(verb: str, recipe: Path, folder: Path, settings: Sequence[str]) -> str:
    """Return the command line that carries on with an interrupted run."""
    words = ["nibblefit", verb, str(recipe), "--folder", str(folder)]
    words += [word for setting in settings for word in ("--set", setting)]
    return shlex.join(words)


def execute(invocation: Invocation, recipe: Path, folder: Path | None, *, verb: str,
            from_: str = "", until: str = "", force: Sequence[str] = (),
            settings: Sequence[str] = (), as_json: bool = False) -> None:  # fmt: skip
    """Run a recipe, then print what it came to.

    Args:
        invocation: Learns the run folder and how to resume.
        recipe: Recipe file.
        folder: Run folder, None for the usual one.
        verb: Command as typed; a stage's name ends the run after its last step.
        from_: Step from which everything runs anew, empty for none.
        until: Last step, or last step of the stage of that name; empty runs to the end.
        force: Steps to run anew.
        settings: ``KEY=VALUE`` texts.
        as_json: Print the summary as JSON.
    """
    from nibblefit.cli.reporter import TerminalReporter
    from nibblefit.runner import load_recipe, make_manager, run
    from nibblefit.runner.planning import steps_of

    loaded = load_recipe(recipe, overrides_of(settings))
    place = folder_for(recipe, folder)
    invocation.folder = place
    invocation.resume = resume_command(verb, recipe, place, settings)
    plan = make_manager(loaded).plan(loaded)
    reporter = TerminalReporter(steps=[step.name for step in steps_of(plan)])
    outcome = run(
        loaded,
        place,
        from_=from_ or None,
        until=until or None,
        force=tuple(force),
        reporter=reporter,
    )
    print_summary(place, report=_report(place) if outcome.complete else "", as_json=as_json)


def _report(folder: Path) -> str:
    """Write the report of a complete run; return where it is, or how to get it."""
    from nibblefit.report import build_report

    try:
        return str(build_report(folder))
    except MissingExtraError as error:
        return f"not written, {error.what}; {error.hint}, then nibblefit report {folder}"


def print_summary(folder: Path, *, report: str, as_json: bool) -> None:
    """Print tables and closing lines of a run folder, or the same as JSON."""
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.cli.summary import accuracy_table, closing_lines, file_table, summary_of
    from nibblefit.workspace import open_run

    summary = replace(summary_of(open_run(folder)), report=report)
    if as_json:
        write_json(summary)
        return
    if summary.measured:
        write_table(accuracy_table(summary))
    for search in summary.searches:
        write_table(search)
    if summary.files:
        write_table(file_table(summary))
    for line in closing_lines(summary):
        write_line(line)
