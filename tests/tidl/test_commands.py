"""``nibblefit tidl …`` as a whole: every command that prints a table also prints JSON."""

from __future__ import annotations

import typer

from nibblefit_tidl.commands import add_commands

NAMES = {"config", "log", "lint", "compare", "operators", "record", "triage", "front", "parameters"}


def test_every_command_has_json() -> None:
    """All of them print tables."""
    app = typer.Typer()
    add_commands(app)
    group = typer.main.get_command(app)
    commands = group.commands  # type: ignore[attr-defined]
    assert set(commands) == NAMES
    for name, command in commands.items():
        options = {word for parameter in command.params for word in parameter.opts}
        assert "--json" in options, name
