"""``nibblefit tidl config`` and ``nibblefit tidl log``: checks what goes in and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nibblefit.errors import LimitError


def config(
    path: Annotated[Path, typer.Argument(help="The configuration.", metavar="FILE")],
    kind: Annotated[
        str,
        typer.Option("--kind", help="classic, importer, provider, model or index; unset: found "
                     "by suffix and keys."),
    ] = "",
    part: Annotated[str, typer.Option("--part", help="Check for that device as well.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Check a configuration before TI's tools read it, and explain every key in it.

    Reads both importers' text, the provider's JSON options and the model zoo's YAML. Unknown keys,
    values that the tools would change in silence, and conflicts are refused with their lines.

    **Example:** `nibblefit tidl config import.txt --part tda4vm`

    **Next:** give the file to TI's tools.
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.results import Table
    from nibblefit_tidl.configuration.kinds import read_configuration
    from nibblefit_tidl.devices import device_named

    found = read_configuration(path, kind, device_named(part) if part else None)
    if as_json:
        write_json({"kind": found.kind, "values": dict(found.values),
                    "advice": [remark.message for remark in found.advice]})  # fmt: skip
        return
    rows = tuple((key, str(value), found.meanings.get(key, ""))
                 for key, value in found.values.items())  # fmt: skip
    write_table(Table(f"{path.name} ({found.kind})", ("key", "value", "meaning"), rows))
    for remark in found.advice:
        write_line(f"mind: {remark.message}; {remark.remedy}")


def log(
    path: Annotated[Path, typer.Argument(help="The importer's output.", metavar="LOG")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain an importer's output: layers, MACs, and what its terse lines mean.

    Exits 4 if the import failed, or left something out that changes results.

    **Example:** `nibblefit tidl log import.log`

    **Next:** correct what it names, or compile.
    """
    from dataclasses import asdict

    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.results import Status, Table
    from nibblefit_tidl.configuration.import_log import read_import_log

    found = read_import_log(path)
    if as_json:
        write_json(asdict(found))
    else:
        rows = tuple((layer.index, layer.kind, layer.name, "x".join(map(str, layer.out_shape)),
                      layer.macs) for layer in found.layers)  # fmt: skip
        title = f"{path.name}: {len(found.layers)} rows, {found.macs / 1e6:.2f} million MACs"
        write_table(Table(title, ("row", "layer", "name", "output", "MACs"), rows))
        for finding in found.findings:
            write_line(f"{finding.status.value}: {finding.where}: {finding.message}")
            write_line(f"  → {finding.hint}")
    failed = [one for one in found.findings if one.status is Status.FAILED]
    if failed:
        raise LimitError(f"{path.name} tells of {len(failed)} failure{'s' * (len(failed) > 1)}",
                         hint=failed[0].hint)  # fmt: skip
