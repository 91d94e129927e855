"""``nibblefit vitis inspect`` and ``devices``: what runs on which DPU, without AMD's compiler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError, NibblefitError

if TYPE_CHECKING:
    from nibblefit_vitis.inspection.inspection import Inspection
    from nibblefit_vitis.inspection.layer import Network


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("inspect")(inspect)
    app.command("devices")(devices)


def inspect(
    model: Annotated[
        str,
        typer.Argument(help="'net.onnx', 'path/file.py:factory' or 'package.module:factory'."),
    ],
    *,
    part: Annotated[
        str, typer.Option("--part", help="Board, DPU or fingerprint (0x…).")
    ] = "kv260",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for text, JSON and picture.")
    ] = None,
    image: Annotated[
        str, typer.Option("--image", help="With --out: png (the default), svg or none.")
    ] = "",
    input_shape: Annotated[
        str, typer.Option("--input-shape", help="One input, channels first: 3,224,224.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """Print which layers a DPU runs, which fall to the CPU, and why.

    Takes any ONNX file; unknown operators go to the CPU.

    **Example:** `nibblefit vitis inspect examples/networks/digits_cnn.py:build --part kv260
    --input-shape 1,8,8`

    **Next:** rewrite what falls to the CPU, or quantize.
    """
    from nibblefit.cli.output import write_json
    from nibblefit_vitis.devices.catalogue import dpu_named
    from nibblefit_vitis.inspection.inspection import inspect_network
    from nibblefit_vitis.inspection.text import document

    _check_image(image, out)
    found = inspect_network(_network(model, input_shape), dpu_named(part))
    files = _write(found, out, image or "png") if out is not None else ()
    if as_json:
        write_json({**document(found), "files": files})
    else:
        _print(found, files)


def _check_image(image: str, out: Path | None) -> None:
    """Refuse kinds of pictures that are none, and one that would not be written."""
    if image not in ("", "png", "svg", "none"):
        raise InputError(f"--image {image} is no kind of picture", hint="use png, svg or none")
    if image and out is None:
        raise InputError(f"--image {image} has no effect: without --out no picture is written",
                         hint="add --out FOLDER, or leave --image out")  # fmt: skip


def devices(
    name: Annotated[
        str, typer.Argument(help="Board, DPU or fingerprint; empty lists all.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:  # fmt: skip
    """List DPUs with their fingerprints, or explain one.

    **Example:** `nibblefit vitis devices 0x101000016010407`

    **Next:** `nibblefit vitis inspect MODEL --part NAME`
    """
    from nibblefit.cli.output import write_json, write_table
    from nibblefit.results import Table
    from nibblefit_vitis.devices.catalogue import BOARDS, FINGERPRINTS, dpu_named
    from nibblefit_vitis.inspection.text import target_facts

    if name:
        facts = tuple(target_facts(dpu_named(name)))
        if as_json:
            write_json(dict(facts))
        else:
            write_table(Table("Target", ("fact", "value"), facts))
        return
    rows = []
    for each, fingerprint in FINGERPRINTS.items():
        dpu = dpu_named(each)
        boards = ", ".join(board for board, its in BOARDS.items() if its == each)
        rows.append((each, str(fingerprint), boards,
                     f"{dpu.pixels} × {dpu.channels_in} × {dpu.channels_out}"))  # fmt: skip
    table = Table("DPUs", ("name", "fingerprint", "boards", "pixels × channels"), tuple(rows))
    if as_json:
        write_json(table)
    else:
        write_table(table)


def _network(model: str, input_shape: str) -> Network:
    """Return a network; an ONNX file that core cannot represent is taken node by node."""
    from nibblefit.cli.input_shapes import parsed_shape, stated_shape
    from nibblefit.nn.load import load_source
    from nibblefit.recipe import ModelSection
    from nibblefit_vitis.inspection.from_graph import network_of
    from nibblefit_vitis.inspection.from_onnx import read_network

    shape = parsed_shape(input_shape)
    is_onnx = model.lower().endswith(".onnx")
    shape = shape or (() if is_onnx else stated_shape(model))
    try:
        section = ModelSection(source=model, input_shape=shape)
        return network_of(load_source(section, Path.cwd(), shape))
    except NibblefitError:
        if not is_onnx:
            raise
        return read_network(Path(model), shape)


def _write(found: Inspection, folder: Path, image: str) -> tuple[str, ...]:
    """Write the files of an inspection and return their paths."""
    import json

    from nibblefit.cli.output import plain
    from nibblefit.workspace.storage import make_folder, write_file
    from nibblefit_vitis.inspection.picture import draw
    from nibblefit_vitis.inspection.text import document, file_name, text

    texts = {"txt": text(found), "json": json.dumps(plain(document(found)), indent=2) + "\n"}
    paths = []
    for suffix, content in texts.items():
        paths.append(make_folder(folder) / file_name(found, suffix))
        write_file(paths[-1], content.encode())
    if image != "none":
        paths.append(folder / file_name(found, image))
        draw(found, paths[-1])
    return tuple(str(path) for path in paths)


def _print(found: Inspection, files: tuple[str, ...]) -> None:
    from nibblefit.cli.inspection import notable
    from nibblefit.cli.output import findings_table, write_line, write_table
    from nibblefit_vitis.inspection.report import report

    made = report(found)
    write_line(made.subject)
    for table in made.tables[:2]:
        write_table(table)
    findings = notable(made)
    if findings:
        write_table(findings_table("Findings", findings))
    write_line(found.headline)
    for file in files:
        write_line(f"wrote {file}")
