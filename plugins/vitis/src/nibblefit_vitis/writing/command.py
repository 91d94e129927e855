"""``nibblefit vitis verify``: is a folder whole, and does it fit compiler and board?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("verify")(verify)


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of the compile stage.", metavar="FOLDER")],
    md5: Annotated[
        Path | None, typer.Option("--md5", help="The compiler's md5sum.txt.", metavar="FILE")
    ] = None,
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="Of the board's DPU, 0x….", metavar="HEX")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the files of a compiled network, the compiler's results, and the board's DPU.

    Every file is compared with the digest it was written with, every file of md5sum.txt with the
    digest the compiler wrote, and the fingerprint with arch.json. Exits 4 if anything differs.

    **Example:** `nibblefit vitis verify files --md5 md5sum.txt --fingerprint 0x101000056010407`

    **Next:** copy the compiled xmodel to the board.
    """
    from dataclasses import asdict

    from nibblefit.cli.output import write_json, write_line
    from nibblefit.errors import LimitError
    from nibblefit.results import Status
    from nibblefit_vitis.writing.verifying import verify as verify_folder

    found = verify_folder(folder, md5, fingerprint)
    failed = [entry for entry in found if entry.status is not Status.PASSED]
    if as_json:
        write_json([asdict(entry) for entry in found])
    else:
        for entry in found:
            write_line(f"{entry.status.value:8}{entry.message}")
    if failed:
        raise LimitError(f"{len(failed)} of {len(found)} checks failed: {failed[0].message}",
                         hint=failed[0].hint)  # fmt: skip
