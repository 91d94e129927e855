"""``nibblefit vitis xmodel``: what an ``.xmodel`` file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("xmodel")(xmodel)


def xmodel(
    file: Annotated[
        Path, typer.Argument(help="An .xmodel, quantized or compiled.", metavar="FILE")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with attributes.")] = False,
) -> None:
    """List the operators of an .xmodel with their shapes and fix positions.

    No file of AMD's is needed. Compiled files are listed too; only quantized ones can be read
    back as a network.

    **Example:** `nibblefit vitis xmodel network_int.xmodel`

    **Next:** compile it with vai_c_xir.
    """
    from nibblefit.cli.output import write_json, write_table
    from nibblefit_vitis.xir.listing import as_json as json_of
    from nibblefit_vitis.xir.listing import listing
    from nibblefit_vitis.xir.reading import read_xmodel

    graph = read_xmodel(file)
    if as_json:
        write_json(json_of(graph))
    else:
        write_table(listing(graph))
