"""Find trace files in a folder and match them by data id with our tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nibblefit.errors import InputError, did_you_mean, listed
from nibblefit_tidl.triage.layers import InfoRow, read_layer_info
from nibblefit_tidl.triage.traces.naming import TraceFile, is_called_trace, trace_named

_INFO = "*layer_info.txt"


@dataclass(frozen=True, slots=True)
class Traced:
    """The trace files of one tensor.

    Attributes:
        row: Its line of the layer info.
        tensor: Its name in our graph.
        fixed, floating: The files; None where there is none.
    """

    row: InfoRow
    tensor: str
    fixed: TraceFile | None
    floating: TraceFile | None


@dataclass(frozen=True, slots=True)
class Collection:
    """What a folder holds.

    Attributes:
        traced: By tensor, in the order of the data ids.
        problems: What could not be matched, one line each.
    """

    traced: Mapping[str, Traced]
    problems: tuple[str, ...]


def layer_info_in(folder: Path) -> Path:
    """Return the layer-info file of a folder of traces.

    Raises:
        InputError: There is none, or more than one.
    """
    found = sorted(folder.glob(_INFO))
    if len(found) == 1:
        return found[0]
    names = listed([path.name for path in found]) if found else "none"
    raise InputError(
        f"{folder} has {names} as layer info; one file is needed that names the data ids",
        hint="give --layer-info FILE: it lies in tempDir of the artifacts, *.layer_info.txt",
    )


def collect(
    folder: Path, info: Path, tensors: Iterable[str], merged: Mapping[str, str], *,
    subgraph: int | None = None, height_first: bool = False,
) -> Collection:  # fmt: skip
    """Return the traces of a folder by tensor.

    Args:
        folder: Folder with the files.
        info: The layer-info file that goes with them.
        tensors: Names of the tensors of our integer graph.
        merged: Inner tensor of a merged layer → its output.
        subgraph: The subgraph to read where there are several.
        height_first: See `trace_named`.

    Raises:
        InputError: The folder cannot be read or holds no trace; several subgraphs, none chosen.
    """
    files, problems = _files(folder, height_first=height_first)
    files = _of_subgraph(folder, files, subgraph)
    rows = {row.data_id: row for row in read_layer_info(info)}
    known = set(tensors)
    found: dict[str, Traced] = {}
    for data_id in sorted({trace.data_id for trace in files}):
        own = [trace for trace in files if trace.data_id == data_id]
        row = rows.get(data_id)
        problem = _problem(data_id, row, own, known, merged, info)
        if problem or row is None:
            problems.append(problem)
            continue
        if row.name in found:
            problems.append(f"data id {data_id}: '{row.name}' has traces under another id already")
            continue
        fixed = next((trace for trace in own if not trace.is_float), None)
        floating = next((trace for trace in own if trace.is_float), None)
        found[row.name] = Traced(row, row.name, fixed, floating)
    return Collection(found, tuple(problems))


def _files(folder: Path, *, height_first: bool) -> tuple[list[TraceFile], list[str]]:
    try:
        paths = sorted(path for path in folder.iterdir() if is_called_trace(path))
    except OSError as error:
        raise InputError(f"cannot read the traces in {folder}: {error.strerror}") from error
    found, problems = [], []
    for path in paths:
        trace = trace_named(path, height_first=height_first)
        if trace is None:
            problems.append(
                f"{path.name}: not a name like tidl_trace0003_00001_00016_00032x00032.y"
            )
        else:
            found.append(trace)
    if not found:
        raise InputError(
            f"{folder} holds no trace files (tidl_trace….y)"
            + "".join(f"\n  {p}" for p in problems),
            hint="run the model with debug_level 3 or 4; the tools write them to /tmp",
        )
    return found, problems


def _of_subgraph(folder: Path, files: list[TraceFile], wanted: int | None) -> list[TraceFile]:
    numbers = sorted({-1 if trace.subgraph is None else trace.subgraph for trace in files})
    if wanted is None and len(numbers) == 1:
        return files
    kept = [trace for trace in files if trace.subgraph == wanted]
    if wanted is not None and kept:
        return kept
    shown = ", ".join("none" if number < 0 else str(number) for number in numbers)
    raise InputError(
        f"{folder} holds traces of subgraphs {shown}"
        + ("" if wanted is None else f", none of subgraph {wanted}"),
        hint="give --subgraph N with the layer info of that subgraph",
    )


def _problem(  # noqa: PLR0917 - everything one trace is checked against
    data_id: int, row: InfoRow | None, own: list[TraceFile], known: set[str],
    merged: Mapping[str, str], info: Path,
) -> str:  # fmt: skip
    """Return why the traces of one data id cannot be matched; empty if they can."""
    name = own[0].path.name
    if row is None:
        return f"{name}: {info.name} has no data id {data_id}"
    kinds = [trace.is_float for trace in own]
    if len(set(kinds)) != len(kinds):
        return f"{name}: several traces of data id {data_id}; keep those of one run"
    if row.name in merged:
        return f"{name}: '{row.name}' is merged into '{merged[row.name]}' here; not compared"
    if row.name not in known:
        hint = did_you_mean(row.name, known)
        return f"{name}: '{row.name}' (data id {data_id}) is no tensor of this network; {hint}"
    return ""
