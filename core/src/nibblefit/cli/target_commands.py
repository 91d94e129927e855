"""Commands that targets bring: found by name when the user asks for one, never before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from nibblefit.cli.flags import Group, adopt

if TYPE_CHECKING:
    from collections.abc import Callable

    from nibblefit.plugins import Plugin

#: Name of the hook; see `nibblefit.hooks.CommandSpecs`.
_HOOK = "add_commands"


class TargetCommands(Group):
    """A group that takes an unknown command for the name of an installed target."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command of core, else the group of the target called `cmd_name`.

        The types are the option parser's, which is no dependency of ours to name.

        Raises:
            PluginError: The target is installed but cannot be loaded, or breaks the contract.
        """
        own = super().get_command(ctx, cmd_name)
        if own is not None or not _is_installed(cmd_name):
            return own
        return typer.main.get_command(target_app(cmd_name))


def _is_installed(name: str) -> bool:
    from nibblefit.plugins import list_targets

    return any(row.name == name for row in list_targets())


def target_app(name: str) -> typer.Typer:
    """Return the command group of one installed target; no other target is imported.

    Raises:
        UnsupportedError: The target brings no commands.
        PluginError: The target cannot be loaded, or its hook does not do what it must.
    """
    from nibblefit.errors import UnsupportedError
    from nibblefit.plugins import load_target

    plugin = load_target(name)
    method = getattr(plugin.value, _HOOK, None)
    if method is None:
        raise UnsupportedError(
            f"{plugin} brings no commands of its own",
            hint="`nibblefit --help` lists the commands that work with every target",
        )
    app = typer.Typer(
        cls=Group,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        help=plugin.info.summary,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def _group() -> None:
        """Make even a single command keep its name."""

    _fill(plugin, method, app)
    return app


def _fill(plugin: Plugin, method: Callable[[typer.Typer], object], app: typer.Typer) -> None:
    from nibblefit.errors import NibblefitError, PluginError, StageError

    try:
        method(app)
    except NibblefitError:
        raise
    except Exception as error:
        raise StageError(
            f"{_HOOK} failed in {plugin}: {type(error).__name__}: {error}",
            hint="report this to the plugin's authors",
        ) from error
    adopt(app)
    if not app.registered_commands and not app.registered_groups:
        raise PluginError(
            f"{_HOOK} of {plugin} registered no command",
            hint='call app.command("name")(function) in it, or leave the hook out',
        )
