"""``nibblefit targets``: list the installed chips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nibblefit.errors import PluginError

if TYPE_CHECKING:
    from nibblefit.plugins import PluginRow


def targets(
    check: Annotated[
        bool, typer.Option("--check", help="Exit 3 if one of them cannot be loaded.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the targets that are installed, with their parts.

    **Example:** `nibblefit targets --check`

    **Next:** `nibblefit init --target NAME` writes a recipe for one of them; `nibblefit check
    NAME` runs the conformance kit on it.
    """
    from nibblefit.cli.output import write_json, write_table
    from nibblefit.plugins import list_targets
    from nibblefit.results import Table

    rows = list_targets(check=True)
    if as_json:
        write_json([_plain(row) for row in rows])
    else:
        cells = tuple(_cells(row) for row in rows)
        write_table(Table("Targets", ("target", "package", "parts", "what it is"), cells))
    broken = [row for row in rows if row.problem]
    if check and broken:
        raise PluginError(
            f"{len(broken)} of {len(rows)} targets cannot be loaded: "
            + ", ".join(row.name for row in broken),
            hint="update or uninstall the packages named beside them",
        )


def _plain(row: PluginRow) -> dict[str, Any]:
    info = row.info
    return {
        "name": row.name,
        "package": row.package,
        "version": row.version,
        "summary": info.summary if info else "",
        "parts": list(info.parts) if info else [],
        "manual": info.manual if info else "",
        "problem": row.problem,
    }


def _cells(row: PluginRow) -> tuple[str, ...]:
    info = row.info
    about = info.summary if info else f"cannot be loaded: {row.problem}"
    parts = ", ".join(info.parts) if info else ""
    return row.name, f"{row.package} {row.version}".strip(), parts, about
