"""Help in which a flag looks like a flag: nothing follows ``--json``."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class _FlagsWithoutValue:
    """Leaves out the type that the option parser shows behind every option, flags included."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, flags without a value's name."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for parameter in found:
            if getattr(parameter, "is_flag", False) and parameter.metavar is None:
                parameter.metavar = ""
        return found


class Command(_FlagsWithoutValue, TyperCommand):
    """A command whose flags look like flags."""


class Group(_FlagsWithoutValue, TyperGroup):
    """A group whose flags look like flags."""


def adopt(app: typer.Typer) -> None:
    """Let the commands that a plugin registered, and their groups, look like nibblefit's own."""
    for command in app.registered_commands:
        if command.cls is None or command.cls is TyperCommand:
            command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance is not None:
            adopt(group.typer_instance)
