"""``nibblefit inspect``: can the chip run this network, and does it fit? Without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.cli.commands.options import InputShape, Json, Part, Target
from nibblefit.cli.input_shapes import parsed_shape
from nibblefit.errors import UnsupportedError

if TYPE_CHECKING:
    from nibblefit.results import Report


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            help="'path/file.py:factory', 'package.module:factory', 'net.onnx', or a file in a "
            "format that the target reads."
        ),
    ],
    *,
    target: Target,
    part: Part = "",
    input_shape: InputShape = "",
    details: Annotated[
        bool, typer.Option("--details", help="Print every table and every finding.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print which layers the target runs, as what, and what they need. Nothing is trained.

    One row per layer, then what needs attention and the totals; `--details` adds a summary with the
    type, output shape and parameters of every layer. The shape of one input is that of
    `--input-shape`, else the constant `INPUT_SHAPE` of the network's file.

    Exits 4 if the target cannot run the network as it is; every such layer is named with the reason
    and a remedy.

    **Example:** `nibblefit inspect network.py:small_cnn --target generic --input-shape 1,8,8`

    **Next:** `nibblefit init --model MODEL --target TARGET` writes a recipe.
    """
    shape = parsed_shape(input_shape)
    from nibblefit.cli.inspection import inspected
    from nibblefit.cli.output import write_json

    report = inspected(model, target, part, shape)
    if as_json:
        write_json(report)
    else:
        _print(report, details=details)
    if report.failed:
        raise _refusal(report, target)


def _print(report: Report, *, details: bool) -> None:
    from nibblefit.cli.inspection import closing_lines, notable
    from nibblefit.cli.output import findings_table, write_line, write_table

    write_line(report.subject)
    for table in report.tables if details else report.tables[:1]:
        write_table(table)
    findings = report.findings if details else notable(report)
    if findings:
        write_table(findings_table("Findings", findings))
    for line in closing_lines(report):
        write_line(line)
    more = [table.title for table in report.tables[1:]]
    if more and not details:
        write_line(f"with --details also: {', '.join(more)}")


def _refusal(report: Report, target: str) -> UnsupportedError:
    first = report.failed[0]
    count = len(report.failed)
    place = "" if first.where in first.message else f"{first.where}: "
    return UnsupportedError(
        f"target '{target}' cannot run this network: {count} finding{'s' * (count > 1)} failed, "
        f"first {place}{first.message}",
        hint=first.hint,
    )
