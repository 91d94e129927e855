"""Memory pictures that a target hands over with its artifact.

A target puts a list under ``notes["memory"]`` of its `nibblefit.results.Artifact`. Each entry is
one picture:

``{"kind": "banks", "title", "unit", "bank", "used": [..], "capacity": [..] or n, "group": n}``
    Equal memories side by side, such as the weight memory of every processor. ``bank`` is what one
    bar stands for, ``group`` the number of bars that belong together.

``{"kind": "timeline", "title", "unit", "capacity": n,
"spans": [{"layer", "access": "read" or "write", "start", "stop"}]}``
    Addresses every layer reads and writes, in the order of execution.

``{"kind": "grid", "title", "unit", "bank", "capacity": n, "layers": [..], "used": [[..], ..]}``
    How full equal memories are while each layer runs: per layer one number per memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit.errors import PluginError
from nibblefit.report.contents import Banks, Grid, MemoryPicture, Span, Timeline
from nibblefit.results import Artifact


def memory_pictures(artifact: Artifact) -> tuple[MemoryPicture, ...]:
    """Return the pictures of an artifact, none if the target gives none.

    Raises:
        PluginError: An entry does not follow this module's text.
    """
    entries = artifact.notes.get("memory", ())
    if isinstance(entries, Mapping):
        entries = (entries,)
    return tuple(_picture(entry, artifact.target) for entry in entries)


def _picture(entry: Any, target: str) -> MemoryPicture:
    try:
        if entry["kind"] == "banks":
            return _banks(entry)
        if entry["kind"] == "timeline":
            return _timeline(entry)
        if entry["kind"] == "grid":
            return _grid(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise _broken(target, f"{type(error).__name__}: {error}") from error
    raise _broken(target, f"kind is {entry['kind']!r}; expected banks, timeline or grid")


def _broken(target: str, reason: str) -> PluginError:
    return PluginError(
        f"target '{target}': a memory picture of its artifact cannot be drawn ({reason})",
        hint="nibblefit.report.memory says what notes['memory'] must look like",
    )


def _banks(entry: Mapping[str, Any]) -> Banks:
    used = tuple(int(count) for count in entry["used"])
    capacity = entry["capacity"]
    room = (int(capacity),) * len(used) if isinstance(capacity, int) else tuple(map(int, capacity))
    if len(room) != len(used):
        raise ValueError(f"{len(used)} banks but {len(room)} capacities")
    return Banks(str(entry["title"]), str(entry["unit"]), used, room,
                 int(entry.get("group", 0)), str(entry.get("bank", "bank")))  # fmt: skip


def _timeline(entry: Mapping[str, Any]) -> Timeline:
    spans = tuple(
        Span(str(span["layer"]), span["access"] == "write", int(span["start"]), int(span["stop"]))
        for span in entry["spans"]
    )
    return Timeline(str(entry["title"]), str(entry["unit"]), int(entry["capacity"]), spans)


def _grid(entry: Mapping[str, Any]) -> Grid:
    layers = tuple(map(str, entry["layers"]))
    used = tuple(tuple(map(int, row)) for row in entry["used"])
    if len(used) != len(layers) or len({len(row) for row in used}) > 1:
        raise ValueError(f"{len(layers)} layers, but rows of {[len(row) for row in used]} memories")
    return Grid(str(entry["title"]), str(entry["unit"]), layers, used, int(entry["capacity"]),
                str(entry.get("bank", "bank")))  # fmt: skip
