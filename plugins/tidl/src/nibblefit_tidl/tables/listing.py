"""An operator table as rows for the terminal: for one device and release."""

from __future__ import annotations

from nibblefit.errors import InputError
from nibblefit.results import Table
from nibblefit_tidl.devices import classic_device_named, device_named
from nibblefit_tidl.tables.reading import Generation, operator_table, rewrites
from nibblefit_tidl.tables.schema import RELEASES, Release, Row, Severity


def listing_for(target: str, part: str, release: str) -> Table:
    """Return the table of a target's device, all three as a user names them.

    Raises:
        InputError: There is no such target or release.
        RecipeError: There is no such device.
    """
    if target == "tidl-classic":
        return listing("classic", classic_device_named(part).name, "11.0")
    if target != "tidl":
        raise InputError(f"there are no operator tables of target '{target}'",
                         hint="use --target tidl or --target tidl-classic")  # fmt: skip
    known = next((each for each in RELEASES if each == release), None)
    if known is None:
        raise InputError(f"there is no operator table of release '{release}'",
                         hint=f"use --release with one of: {', '.join(RELEASES)}")  # fmt: skip
    return listing("current", device_named(part).name, known)


def listing(generation: Generation, device: str, release: Release) -> Table:
    """Return every operator of a table with what a device makes of it in a release."""
    table = operator_table(generation)
    rows = tuple(
        (", ".join(row.names), row.layer, _standing(row, device, release), row.constraints,
         ", ".join(row.graph) or row.outside)
        for row in table.row
    )  # fmt: skip
    columns = ("operators", "layer", "runs", "limits", "in nibblefit's graph")
    where = device if generation == "classic" else f"{device}, tools {release}"
    return Table(f"{table.title} ({where})", columns, rows)


def rewrite_listing() -> Table:
    """Return TI's rewrites by name."""
    return Table("TI's rewrites of ONNX files", ("name", "what it does"),
                 tuple(rewrites().items()))  # fmt: skip


def _standing(row: Row, device: str, release: Release) -> str:
    """Return whether the row's layers run at all, and how many limits there are to keep."""
    limits = [limit for limit in row.limits if limit.holds_for(device, release)]
    always = {limit.verdict for limit in limits if limit.check == "always"}
    if Severity.REFUSED in always or (row.layer == "none" and not row.graph):
        return "no"
    if Severity.HOST in always:
        return "on the Arm core"
    return "yes" if not limits else "within limits"
