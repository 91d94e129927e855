"""``nibblefit inspect``: can the chip run this network, and does it fit? Without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.cli.commands.options import InputShape, Json, Part, Target
from nibblefit.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    from nibblefit.results import Report


def inspect(
    model: Annotated[
        str,
        typer.Argument(help="'path/file.py:factory', 'package.module:factory' or 'net.onnx'."),
    ],
    target: Target,
    part: Part = "",
    input_shape: InputShape = "",
    as_json: Json = False,
) -> None:
    """Print which layers the target runs, as what, and what they need. Nothing is trained.

    Exits 4 if the target cannot run the network as it is; every such layer is named with the reason
    and a remedy.

    **Example:** `nibblefit inspect network.py:small_cnn --target generic --input-shape 1,8,8`

    **Next:** `nibblefit init --model MODEL --target TARGET` writes a recipe.
    """
    shape = _shape(input_shape)
    from nibblefit.cli.inspection import inspected
    from nibblefit.cli.output import findings_table, write_json, write_table

    report = inspected(model, target, part, shape)
    if as_json:
        write_json(report)
    else:
        if report.findings:
            write_table(findings_table(report.subject, report.findings))
        for table in report.tables:
            write_table(table)
    if report.failed:
        raise _refusal(report, target)


def _shape(text: str) -> tuple[int, ...]:
    if not text:
        return ()
    try:
        shape = tuple(int(extent) for extent in text.replace("x", ",").split(","))
    except ValueError:
        shape = (0,)
    if min(shape) < 1:
        raise InputError(
            f"--input-shape {text} is no shape", hint="write channels first, such as 1,28,28"
        )
    return shape


def _refusal(report: Report, target: str) -> UnsupportedError:
    first = report.failed[0]
    count = len(report.failed)
    return UnsupportedError(
        f"target '{target}' cannot run this network: {count} finding{'s' * (count > 1)} failed, "
        f"first {first.where or first.rule}: {first.message}",
        hint=first.hint,
    )
