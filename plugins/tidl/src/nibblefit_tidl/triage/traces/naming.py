"""Names of trace files, which hold the size of the tensor.

``tidl_traceDDDD_BBBBB_CCCCC_WWWWWxHHHHH.y``: data id, batches, channels, width, height, in fixed
point; ``…_float.bin`` is the same in floating point (debug_level 4). Source: edgeai-tidl-tools,
troubleshooting guide. Where a model has several subgraphs, newer tools put ``_subgraph_N_`` before
the data id (edgeai-tidlrunner), and two more axes stand between batches and channels; both forms
are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(
    r"tidl_trace(?:_subgraph_(?P<subgraph>\d+)_)?(?P<data_id>\d+)_(?P<batches>\d+)"
    r"(?:_(?P<dim1>\d+)_(?P<dim2>\d+))?_(?P<channels>\d+)_(?P<first>\d+)x(?P<second>\d+)"
    r"(?P<kind>\.y|_float\.bin)"
)
#: What a file must begin with to count as a trace at all.
_PREFIX = "tidl_trace"


@dataclass(frozen=True, slots=True)
class TraceFile:
    """One trace file by its name.

    Attributes:
        path: The file.
        subgraph: Number of the subgraph; None where the name has none.
        data_id: Number of the output buffer.
        batches: Frames in it.
        outer: The two axes above channels, 1 × 1 unless the name has them.
        channels: Channels.
        width, height: Columns and rows, as the name says.
        is_float: Floating point, not codes.
    """

    path: Path
    subgraph: int | None
    data_id: int
    batches: int
    outer: tuple[int, int]
    channels: int
    width: int
    height: int
    is_float: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame: outer axes, channels, rows, columns."""
        return (*self.outer, self.channels, self.height, self.width)


def trace_named(path: Path, *, height_first: bool = False) -> TraceFile | None:
    """Return what a file's name says; None if it is no name of a trace.

    Args:
        path: The file.
        height_first: The name's last two numbers are height and width, not width and height.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    subgraph = match["subgraph"]
    sizes = [int(match["first"]), int(match["second"])]
    width, height = reversed(sizes) if height_first else sizes
    return TraceFile(
        path, None if subgraph is None else int(subgraph), int(match["data_id"]),
        int(match["batches"]), (int(match["dim1"] or 1), int(match["dim2"] or 1)),
        int(match["channels"]), width, height, match["kind"] != ".y",
    )  # fmt: skip


def is_called_trace(path: Path) -> bool:
    """Return whether a file means to be a trace: its name begins like one."""
    return path.name.startswith(_PREFIX) and path.suffix in (".y", ".bin")
