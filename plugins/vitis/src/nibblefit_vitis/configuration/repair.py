"""Mend a configuration by the fixes that its problems name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nibblefit_vitis.configuration.json_text import KeyPath
from nibblefit_vitis.configuration.problems import REMOVED, dotted, shown
from nibblefit_vitis.configuration.read import examine

#: A fix may uncover the next conflict of the same tensor; there are fewer rules than this.
_ROUNDS = 20


def repaired(
    document: Mapping[str, Any], *, parity: bool = False
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a configuration with every problem mended whose fix is certain, and the changes.

    Args:
        document: As JSON gives it; left as it is. Unknown keys and wrong types stay: what was
            meant is not known.
        parity: Mend what the original would refuse.
    """
    found: dict[str, Any] = json.loads(json.dumps(document))
    changes: list[str] = []
    for _ in range(_ROUNDS):
        _, problems = examine(found, parity=parity)
        edits = {path: value for one in problems.found for path, value in one.edits.items()}
        if not edits:
            break
        for path, value in edits.items():
            changes.append(_change(path, _edit(found, path, value), value))
    return found, tuple(changes)


def _edit(document: dict[str, Any], path: KeyPath, value: Any) -> Any:
    """Set or remove a value in place; return what was there."""
    holder: Any = document
    for part in path[:-1]:
        if isinstance(part, str) and holder.get(part) is None:
            holder[part] = {}
        holder = holder[part]
    before = holder.pop(path[-1], None)
    if value is not REMOVED:
        holder[path[-1]] = json.loads(json.dumps(value))
    return before


def _change(path: KeyPath, before: Any, after: Any) -> str:
    if after is REMOVED:
        return f"{dotted(path)} = {shown(before)} is removed"
    was = f", was {shown(before)}" if before is not None else ""
    return f"{dotted(path)} = {shown(after)}{was}"
