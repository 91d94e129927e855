"""``nibblefit maxim …``: the commands of this target. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError, LimitError

if TYPE_CHECKING:
    from nibblefit.ir.graph import Shape

_Yaml = Annotated[Path, typer.Argument(help="The network YAML.", metavar="NET.YAML")]
_Part = Annotated[str, typer.Option("--part", help="max78000 or max78002.")]
_Shape = Annotated[
    str, typer.Option("--input-shape", help="One input, channels first, such as 1,28,28.")
]
_Sample = Annotated[
    Path | None,
    typer.Option("--sample", help="Sample input (.npy); default: sample_DATASET.npy beside it."),
]
_Fifo = Annotated[bool, typer.Option("--fifo", help="The compiler will be called with --fifo.")]
_Overlap = Annotated[
    bool, typer.Option("--overlap-data", help="The compiler will be called with it.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_commands(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("lint")(lint)
    app.command("import")(import_)


def lint(  # noqa: PLR0917 - options of a command
    network: _Yaml,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="The integer checkpoint that goes with it.")
    ] = None,
    part: _Part = "",
    sample: _Sample = None,
    input_shape: _Shape = "",
    fifo: _Fifo = False,
    overlap_data: _Overlap = False,
    as_json: _Json = False,
) -> None:
    """Find everything wrong with a network description, all at once.

    Exits 4 if there is an error. Each finding has line, rule and remedy; the manual's page on the
    linter lists the rules.

    **Example:** `nibblefit maxim lint net.yaml --checkpoint net-q.pth.tar --input-shape 1,28,28`

    **Next:** `nibblefit maxim import` makes an integer graph of files without errors.
    """
    from nibblefit.cli.output import write_json, write_line
    from nibblefit_maxim.linting.lint import LintOptions, lint_file
    from nibblefit_maxim.linting.wording import json_of, lines_of
    from nibblefit_maxim.parts import part_named

    options = LintOptions(checkpoint, sample, _shape(input_shape), fifo, overlap_data)
    found = lint_file(network, part_named(part), options)
    if as_json:
        write_json(json_of(found))
    else:
        for line in lines_of(found):
            write_line(line)
    if found.errors:
        raise LimitError(found.summary, hint="correct the errors; warnings and notes may stay")
    if not as_json:
        write_line(found.summary)


def import_(  # noqa: PLR0917 - options of a command
    network: _Yaml,
    checkpoint: Annotated[
        Path,
        typer.Option("--checkpoint", help="Integer checkpoint, or a float one to quantize."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the integer graph.")],
    part: _Part = "",
    sample: _Sample = None,
    input_shape: _Shape = "",
    fifo: _Fifo = False,
    overlap_data: _Overlap = False,
    avg_pool_rounding: Annotated[
        bool, typer.Option("--avg-pool-rounding", help="The compiler will be called with it.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Read the vendor's YAML and checkpoint into an integer graph.

    A float checkpoint (after quantization-aware training, batch norm folded) is quantized as the
    vendor's script does. With a sample, the graph is run on it and the output is saved beside.

    **Example:** `nibblefit maxim import net.yaml --checkpoint net-q.pth.tar --out graph`

    **Next:** `nibblefit.ir.store.load_quantized` loads the folder, `nibblefit.engine.Engine` runs
    it.
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit_maxim.importing.folder import import_folder
    from nibblefit_maxim.parts import part_named

    flags = ["--fifo"] * fifo + ["--overlap-data"] * overlap_data
    flags += ["--avg-pool-rounding"] * avg_pool_rounding
    found = import_folder(
        network, checkpoint, out, part_named(part), sample=sample,
        input_shape=_shape(input_shape), flags=flags,
    )  # fmt: skip
    if as_json:
        write_json(found)
        return
    write_table(found.table)
    for line in found.lines():
        write_line(line)


def _shape(text: str) -> Shape:
    if not text:
        return ()
    try:
        shape = tuple(int(extent) for extent in text.replace("x", ",").split(","))
    except ValueError:
        shape = (0,)
    if min(shape) < 1 or len(shape) not in (2, 3):
        raise InputError(
            f"--input-shape {text} is no shape of one input",
            hint="write channels first, such as 1,28,28 or 128,128",
        )
    return shape
