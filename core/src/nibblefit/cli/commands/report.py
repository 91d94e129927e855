"""``nibblefit report``: one HTML file about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from nibblefit.cli.commands.options import Run


def report(
    run: Run,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - the option parser reads this at run time
        typer.Option("--out", help="File to write; report.html in the run folder if left out."),
    ] = None,
) -> None:
    """Write one self-contained HTML file: accuracy, curves, noise per layer, size, memory, files.

    The file needs no network and no other file: it can be mailed or archived as it is.

    **Example:** `nibblefit report runs/recipe`

    **Next:** open it in a browser.
    """
    from nibblefit.cli.output import write_line
    from nibblefit.report import build_report

    write_line(f"wrote {build_report(run, out)}")
