"""``nibblefit tidl triage``. Imports what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError, LimitError

if TYPE_CHECKING:
    from nibblefit_tidl.triage.differences import Frames
    from nibblefit_tidl.triage.results import Triage
    from nibblefit_tidl.triage.traces.reading import Layout


def triage(  # noqa: PLR0917 - options of a command
    run: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    samples: Annotated[
        int, typer.Option("--samples", min=1, help="Test samples to compare layers on.")
    ] = 64,
    quick: Annotated[bool, typer.Option("--quick", help="Compare layers and traces only.")] = False,
    traces: Annotated[
        Path | None, typer.Option("--traces", help="Folder of trace files from TI's tools.")
    ] = None,
    layer_info: Annotated[
        Path | None,
        typer.Option("--layer-info", help="Its *.layer_info.txt; default: the one in the folder."),
    ] = None,
    given: Annotated[
        Path | None,
        typer.Option("--input", help="What the tools ran on (.npy); default: its own trace."),
    ] = None,
    padding: Annotated[
        str,
        typer.Option("--padding", help="Values around each channel.", metavar="L,T,R,B"),
    ] = "0,0,0,0",
    channel_gap: Annotated[
        int, typer.Option("--channel-gap", min=0, help="Values behind each channel.")
    ] = 0,
    height_first: Annotated[
        bool, typer.Option("--height-first", help="File names give height before width.")
    ] = False,
    subgraph: Annotated[
        int | None, typer.Option("--subgraph", help="Subgraph whose traces are read.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find where a quantized network loses accuracy, layer by layer.

    Compares float with integers, measures which layers deserve 16 bits and whether calibration saw
    enough, and goes through TI's settings 32, 8, 16, mixed. With traces, says where TI's integers
    first leave ours, and why; exits 4 if they differ by more than one step. Page, drawings, JSON
    and our layer_info.txt go to the folder triage of the run.

    **Example:** `nibblefit tidl triage runs/recipe --traces traces`

    **Next:** open runs/recipe/triage/triage.html.
    """
    from nibblefit.cli.output import write_json
    from nibblefit.cli.reporter import TerminalReporter
    from nibblefit_tidl.triage.opening import FOLDER
    from nibblefit_tidl.triage.traces.checking import TraceSource
    from nibblefit_tidl.triage.triage import PAGE, triage_run
    from nibblefit_tidl.triage.wording import json_of

    source = None
    if traces is not None:
        frames = _frames(given) if given is not None else None
        source = TraceSource(traces, layer_info, frames, _layout(padding, channel_gap),
                             height_first, subgraph)  # fmt: skip
    found = triage_run(run, samples=samples, traces=source, quick=quick,
                       reporter=TerminalReporter())  # fmt: skip
    if as_json:
        write_json(json_of(found))
    else:
        _show(found, run / FOLDER / PAGE)
    first = found.traces.first_beyond if found.traces is not None else None
    if found.traces is not None and first is not None:
        raise LimitError(found.traces.verdict, hint=first.advice)


def _show(found: Triage, page: Path) -> None:
    from nibblefit.cli.output import write_line, write_table
    from nibblefit_tidl.triage.wording import tables_of

    for table in tables_of(found):
        write_table(table)
    problems = found.traces.problems if found.traces is not None else ()
    for line in (*problems, *found.verdicts, f"page: {page}"):
        write_line(line)


def _layout(padding: str, channel_gap: int) -> Layout:
    from nibblefit_tidl.triage.traces.reading import Layout

    try:
        left, top, right, bottom = (int(part) for part in padding.split(","))
    except ValueError:
        left = top = right = bottom = -1
    if min(left, top, right, bottom) < 0:
        raise InputError(
            f"--padding {padding} is no padding",
            hint="write four counts of values: left, top, right, bottom, such as 1,1,1,1",
        )
    return Layout(left, top, right, bottom, channel_gap)


def _frames(path: Path) -> Frames:
    import numpy as np

    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"cannot read the input {path}: {error}", hint="save it with numpy.save, as numbers"
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf":
        raise InputError(f"the input {path} holds no array of numbers")
    return np.ascontiguousarray(values, np.float32)
