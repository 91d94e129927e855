"""Write the report of a run folder."""

from __future__ import annotations

from pathlib import Path

from nibblefit.errors import WorkspaceError
from nibblefit.report.collect import contents_of
from nibblefit.report.page import page
from nibblefit.workspace import open_run

#: Name of the report inside the run folder.
FILE_NAME = "report.html"


def build_report(run_folder: Path | str, out: Path | None = None) -> Path:
    """Write one self-contained HTML file about a run and return its path.

    Args:
        run_folder: Folder of the run, finished or not.
        out: Where to write; ``report.html`` in the run folder by default.

    Raises:
        WorkspaceError: No run folder, no finished step, or the file cannot be written.
        MissingExtraError: The extra ``report`` is not installed.
    """
    run = open_run(run_folder)
    if not run.steps:
        raise WorkspaceError(
            f"{run_folder} has no finished step to report on", hint="run further, then report"
        )
    path = Path(run_folder) / FILE_NAME if out is None else out
    text = page(contents_of(run))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkspaceError(
            f"cannot write the report to {path}: {error.strerror}", hint="give another file: --out"
        ) from error
    return path
