"""``nibblefit tidl triage``. Imports what it needs when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nibblefit.errors import InputError, LimitError

if TYPE_CHECKING:
    from nibblefit_tidl.triage.differences import Frames
    from nibblefit_tidl.triage.results import Triage
    from nibblefit_tidl.triage.traces.checking import TraceSource
    from nibblefit_tidl.triage.traces.reading import Layout

#: How channels lie unless the user says otherwise.
NO_PADDING = "0,0,0,0"

RunFolder = Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")]
Samples = Annotated[
    int, typer.Option("--samples", min=1, help="Test samples to compare layers on.")
]
Quick = Annotated[bool, typer.Option("--quick", help="Compare layers and traces only.")]
Traces = Annotated[
    Path | None, typer.Option("--traces", help="Folder of trace files from TI's tools.")
]
LayerInfo = Annotated[
    Path | None,
    typer.Option("--layer-info", help="Its *.layer_info.txt; default: the one in the folder."),
]
Given = Annotated[
    Path | None,
    typer.Option("--input", help="What the tools ran on (.npy); default: its own trace."),
]
Padding = Annotated[
    str, typer.Option("--padding", help="Values around each channel.", metavar="L,T,R,B")
]
ChannelGap = Annotated[
    int, typer.Option("--channel-gap", min=0, help="Values behind each channel.")
]
HeightFirst = Annotated[
    bool, typer.Option("--height-first", help="File names give height before width.")
]
Subgraph = Annotated[int | None, typer.Option("--subgraph", help="Subgraph whose traces are read.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def triage(  # noqa: PLR0917 - options of a command
    run: RunFolder, samples: Samples = 64, quick: Quick = False, traces: Traces = None,
    layer_info: LayerInfo = None, given: Given = None, padding: Padding = NO_PADDING,
    channel_gap: ChannelGap = 0, height_first: HeightFirst = False, subgraph: Subgraph = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
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
    from nibblefit_tidl.triage.triage import PAGE, triage_run
    from nibblefit_tidl.triage.wording import json_of

    about = _AboutTraces(layer_info, given, padding, channel_gap, height_first, subgraph)
    found = triage_run(run, samples=samples, traces=about.source(traces), quick=quick,
                       reporter=TerminalReporter())  # fmt: skip
    if as_json:
        write_json(json_of(found))
    else:
        _show(found, run / FOLDER / PAGE)
    first = found.traces.first_beyond if found.traces is not None else None
    if found.traces is not None and first is not None:
        raise LimitError(found.traces.verdict, hint=first.advice)


@dataclass(frozen=True, slots=True)
class _AboutTraces:
    """What the options say about a folder of traces."""

    layer_info: Path | None
    given: Path | None
    padding: str
    channel_gap: int
    height_first: bool
    subgraph: int | None

    def source(self, folder: Path | None) -> TraceSource | None:
        """Return where traces lie and how; None without a folder.

        Raises:
            InputError: An option says something about traces that are not given, or nothing sound.
        """
        from nibblefit_tidl.triage.traces.checking import TraceSource

        if folder is None:
            self._refuse_without_traces()
            return None
        frames = _frames(self.given) if self.given is not None else None
        return TraceSource(folder, self.layer_info, frames, _layout(self.padding, self.channel_gap),
                           self.height_first, self.subgraph)  # fmt: skip

    def _refuse_without_traces(self) -> None:
        said = {
            "--layer-info": self.layer_info is not None, "--input": self.given is not None,
            "--padding": self.padding != NO_PADDING, "--channel-gap": self.channel_gap != 0,
            "--height-first": self.height_first, "--subgraph": self.subgraph is not None,
        }  # fmt: skip
        for option, given in said.items():
            if given:
                raise InputError(f"{option} is about traces, and there are none",
                                 hint=f"add --traces FOLDER, or leave {option} out")  # fmt: skip


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
