"""``nibblefit check``: run the conformance kit on a target."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import LimitError, MissingExtraError

if TYPE_CHECKING:
    from nibblefit.conformance.records import Record


def check(
    target: Annotated[str, typer.Argument(help="Target plugin; `nibblefit targets` lists them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    part: Annotated[
        str, typer.Option(help="Device to check; the target's first one if unset.")
    ] = "",
) -> None:
    """Run the conformance kit on an installed target and print one line per check.

    Exits 4 if a check fails; the text says why strangers rely on it and how to comply.

    **Example:** `nibblefit check generic`

    **Next:** the chapter “Writing a target” shows the same checks as a three-line pytest file.
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.results import Table

    records = _run(target, part)
    failed = [record for record in records if record.status == "failed"]
    if as_json:
        write_json({"target": target, "passed": not failed, "checks": records})
    else:
        rows = tuple((r.id, r.status.value, r.message) for r in records)
        title = f"Conformance of {target}" + (f" on {part}" if part else "")
        write_table(Table(title, ("check", "status", "found"), rows))
        for record in failed:
            write_line(f"{record.id}: {record.message}\n  why: {record.why}\n  → {record.how}")
        counts = Counter(record.status.value for record in records)
        write_line(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    if failed:
        raise LimitError(
            f"target '{target}' fails {len(failed)} of {len(records)} conformance checks",
            hint=f"start with {failed[0].id}: {failed[0].how}",
        )


def _run(target: str, part: str) -> list[Record]:
    try:
        from nibblefit.conformance.table import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"pytest", "hypothesis"}:
            raise
        raise MissingExtraError("the conformance kit", "conformance") from error
    return run(target, part=part)
