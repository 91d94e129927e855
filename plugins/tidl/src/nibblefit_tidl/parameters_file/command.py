"""``nibblefit tidl parameters``: checks a quantization-parameter file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nibblefit.errors import LimitError


def parameters(
    path: Annotated[Path, typer.Argument(help="The file.", metavar="PARAMETERS.PROTOTXT")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a quantization-parameter file before TI's tools read it.

    Prints the range of every layer, or why the file cannot be used. Exits 4 if it cannot.

    **Example:** `nibblefit tidl parameters net.prototxt`

    **Next:** name it in quant_params_proto_path; calibration is then skipped.
    """
    from dataclasses import asdict

    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.results import Table
    from nibblefit_tidl.parameters_file.checking import problems_of
    from nibblefit_tidl.parameters_file.reading import read_parameters

    found = read_parameters(path, check=False)
    problems = problems_of(found)
    if as_json:
        write_json({"problems": problems, "parameters": asdict(found)})
    else:
        rows = tuple(
            (layer.layer_name, layer.layer_type, layer.bit_depth, tensor.min, tensor.max)
            for layer in found.layers
            for tensor in layer.outputs[:1]
        )
        write_table(Table("Quantization parameters", ("layer", "type", "bits", "min", "max"), rows))
        for problem in problems:
            write_line(f"error: {problem}")
    if problems:
        raise LimitError(
            f"{path} holds no usable quantization parameters ({len(problems)} problems)",
            hint="delete it and calibrate again: an absent file is written, a present one is read",
        )
