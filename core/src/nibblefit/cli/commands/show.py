"""``nibblefit show``: steps and numbers of a run."""

from __future__ import annotations

from nibblefit.cli.commands.options import Json, Run


def show(run: Run, as_json: Json = False) -> None:
    """List the steps of a run with status, time and why they ran, and the measured numbers.

    **Example:** `nibblefit show runs/recipe`

    **Next:** `nibblefit report runs/recipe` draws the same as one HTML file.
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.cli.summary import (
        accuracy_table,
        closing_lines,
        file_table,
        left_over_line,
        steps_table,
        summary_of,
    )
    from nibblefit.workspace import open_run

    summary = summary_of(open_run(run))
    if as_json:
        write_json(summary)
        return
    write_table(steps_table(summary))
    if summary.left_over:
        write_line(left_over_line(summary))
    if summary.measured:
        write_table(accuracy_table(summary))
    for search in summary.searches:
        write_table(search)
    if summary.files:
        write_table(file_table(summary))
    for line in closing_lines(summary):
        write_line(line)
