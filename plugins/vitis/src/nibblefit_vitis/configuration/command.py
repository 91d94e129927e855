"""``nibblefit vitis config`` and ``presets``: read, check, mend and convert configurations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError

if TYPE_CHECKING:
    from nibblefit_vitis.configuration.schema import Configuration


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("config")(config)
    app.command("presets")(presets)


def config(
    source: Annotated[str, typer.Argument(
        help="A configuration (.json), a recipe (.toml), or a preset's name.", metavar="FILE")],
    *,
    parity: Annotated[bool, typer.Option(
        "--parity", help="Accept, ignore and refuse what the original does.")] = False,
    to: Annotated[
        str, typer.Option("--to", help="Print it as recipe or as json instead.", metavar="FORM")
    ] = "",
    fix: Annotated[
        Path | None,
        typer.Option("--fix", help="Mend what has a certain remedy, and write the result there."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Check a quantization configuration, and show what holds for every kind of tensor.

    Reads Vitis AI's JSON and recipes alike. Every key that is unknown, of a wrong type or at odds
    with others is named with its line, the values accepted and the fix.

    **Example:** `nibblefit vitis config dpu --to recipe`

    **Next:** name the file in a recipe: `configuration = "FILE"` below `[target]`.
    """  # fmt: skip
    from nibblefit.cli.output import write_json
    from nibblefit_vitis.configuration.showing import document

    _check_form(to, as_json=as_json)
    changes: tuple[str, ...] = ()
    if fix is not None:
        changes, source = _mend(source, fix, parity=parity), str(fix)
    configuration, parity = _read(source, parity=parity)
    if to:
        _convert(configuration, to, parity=parity)
    elif as_json:
        write_json({**document(configuration, parity=parity), "changes": changes})
    else:
        _show(configuration, changes, parity=parity)


def _check_form(to: str, *, as_json: bool) -> None:
    """Refuse forms that are none, and two at once."""
    if to not in ("", "recipe", "json"):
        raise InputError(f"--to {to} is no form", hint="use --to recipe or --to json")
    if to and as_json:
        raise InputError(f"--to {to} and --json both say what is printed",
                         hint="keep one of them: --json prints what holds after merging, "
                         "--to json the file")  # fmt: skip


def presets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the configurations that come with the plugin.

    **Example:** `nibblefit vitis presets`

    **Next:** `nibblefit vitis config dpu` shows one; `--to json` prints it as a file.
    """
    from nibblefit.cli.output import write_json, write_table
    from nibblefit.results import Table
    from nibblefit_vitis.configuration.presets import PRESETS, REFUSED

    if as_json:
        write_json({"presets": PRESETS, "refused": REFUSED})
        return
    write_table(Table("Presets", ("name", "what it is"), tuple(PRESETS.items())))
    rows = tuple((name, f"quantizes to {what}") for name, what in REFUSED.items())
    write_table(Table("Examples of the original that are refused", ("name", "why"), rows))


def _convert(configuration: Configuration, to: str, *, parity: bool) -> None:
    from nibblefit.cli.output import write_line
    from nibblefit_vitis.configuration.recipe_tables import json_text, recipe_text

    is_json = to == "json"
    text = json_text(configuration) if is_json else recipe_text(configuration, parity=parity)
    write_line(text.rstrip("\n"))


def _show(configuration: Configuration, changes: tuple[str, ...], *, parity: bool) -> None:
    from nibblefit.cli.output import write_line, write_table
    from nibblefit_vitis.configuration.showing import tables

    for table in tables(configuration, parity=parity):
        write_table(table)
    for change in changes:
        write_line(f"changed: {change}")
    for note in configuration.notes:
        write_line(f"mind: {note}")


def _read(source: str, *, parity: bool) -> tuple[Configuration, bool]:
    """Return a configuration and its mode: a recipe states its own."""
    from nibblefit_vitis.configuration.presets import PRESETS, REFUSED, preset
    from nibblefit_vitis.configuration.read import read_configuration
    from nibblefit_vitis.configuration.recipe_tables import read_recipe_configuration

    if source in PRESETS or source in REFUSED:
        return preset(source, parity=parity), parity
    path = Path(source)
    if path.suffix == ".toml":
        return read_recipe_configuration(path, parity=parity)
    if path.suffix != ".json" and not path.exists():
        return preset(source, parity=parity), parity
    return read_configuration(path, parity=parity), parity


def _mend(source: str, target: Path, *, parity: bool) -> tuple[str, ...]:
    """Write the mended file and return what was changed."""
    import json

    from nibblefit.workspace.storage import write_file
    from nibblefit_vitis.configuration.json_text import parse_object, read_text
    from nibblefit_vitis.configuration.repair import repaired

    path = Path(source)
    if path.suffix != ".json":
        raise InputError(f"--fix mends JSON files, not {source}", hint="correct it by hand")
    document, _ = parse_object(read_text(path), path.name)
    mended, changes = repaired(document, parity=parity)
    write_file(target, (json.dumps(mended, indent=2) + "\n").encode())
    return changes
