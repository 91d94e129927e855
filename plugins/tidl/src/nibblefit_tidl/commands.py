"""``nibblefit tidl …``: the commands of this target. They import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nibblefit.errors import InputError
from nibblefit_tidl.configuration.command import config, log
from nibblefit_tidl.front.command import front
from nibblefit_tidl.parameters_file.command import parameters
from nibblefit_tidl.qdq.command import compare, lint
from nibblefit_tidl.triage.command import triage

_Range = Annotated[str, typer.Option(metavar="LOW,HIGH")]


def add_commands(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("record")(record)
    app.command("operators")(operators)
    app.command("triage")(triage)
    app.command("lint")(lint)
    app.command("compare")(compare)
    app.command("front")(front)
    app.command("parameters")(parameters)
    app.command("config")(config)
    app.command("log")(log)


def record(  # noqa: PLR0917 - options of a command
    clips: Annotated[
        Path, typer.Argument(help="Folder with one folder of clips per class.", metavar="CLIPS")
    ],
    out: Annotated[Path, typer.Option("--out", help="Data set to make, in Pascal VOC's layout.")],
    backgrounds: Annotated[
        Path | None,
        typer.Option("--backgrounds", help="Folder of pictures to compose the objects over."),
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Frames per second to take.")] = 12.0,
    copies: Annotated[
        int, typer.Option("--copies", help="Composed pictures per training frame.")
    ] = 10,
    validation: Annotated[
        float, typer.Option("--validation", help="Share of the clips kept for validation.")
    ] = 0.2,
    scale: _Range = "0.5,1.5",
    light: _Range = "0.6,1.4",
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Turn video clips of objects into a labelled, augmented data set.

    Record each object on a turntable before a uniform background: 15 to 20 seconds at 10 to 15
    frames per second, from three or four distances and heights. Every frame's object gets a box and
    a mask; each is composed several times over other backgrounds, in other sizes, places and
    light. Whole clips are kept for validation. An interrupted run goes on where it stopped.

    **Example:** `nibblefit tidl record clips --out dataset --backgrounds photos`

    **Next:** look at contact_sheet.png in the folder, then train on it.
    """
    from nibblefit.cli.output import write_json, write_line, write_table
    from nibblefit.cli.reporter import TerminalReporter
    from nibblefit_tidl.recording.backgrounds import pictures_of
    from nibblefit_tidl.recording.building import build
    from nibblefit_tidl.recording.settings import settings_from
    from nibblefit_tidl.recording.wording import json_of, table_of

    ranges = {"scale": _range("--scale", scale), "light": _range("--light", light)}
    settings = settings_from(rate=rate, copies=copies, validation=validation, seed=seed, **ranges)
    pictures = pictures_of(backgrounds) if backgrounds is not None else ()
    made = build(clips, out, settings, TerminalReporter(), pictures)
    if as_json:
        write_json(json_of(made))
        return
    write_table(table_of(made))
    for line in made.skipped:
        write_line(f"no object found in {line}")
    write_line(f"look at {made.contact_sheet}")


def _range(option: str, text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0.0 < low <= high:
        raise InputError(
            f"{option} {text} is no range", hint="write two numbers above 0, such as 0.5,1.5"
        )
    return low, high


def operators(
    target: Annotated[
        str, typer.Option("--target", help="tidl or tidl-classic.", metavar="TARGET")
    ] = "tidl",
    part: Annotated[str, typer.Option("--part", help="Device, empty for the first.")] = "",
    release: Annotated[
        str, typer.Option("--release", help="Of the tools: 8.x, 9.x, 11.0 or newer.")
    ] = "11.0",
    rewrites: Annotated[
        bool, typer.Option("--rewrites", help="List TI's rewrites of ONNX files instead.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print which operators a device runs, with their limits, by the tables of TI's tools.

    `nibblefit inspect` applies the same tables to a network.

    **Example:** `nibblefit tidl operators --part am62a`

    **Next:** `nibblefit inspect MODEL --target tidl --part am62a`
    """
    from nibblefit.cli.output import write_json, write_table
    from nibblefit_tidl.tables.listing import listing_for, rewrite_listing

    table = rewrite_listing() if rewrites else listing_for(target, part, release)
    if as_json:
        write_json(table)
    else:
        write_table(table)
