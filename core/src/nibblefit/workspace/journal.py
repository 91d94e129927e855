"""The journal of a run folder: one JSON line per event, appended, never rewritten."""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

from nibblefit.recipe_file import plain
from nibblefit.workspace.storage import explained


class Journal:
    """Appends events (started, finished, reused, failed, gate, candidate …) with their time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, event: str, **facts: Any) -> None:
        """Append one line.

        A line that a kill left half-written is closed first, so that it spoils only itself.
        """
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **plain(facts)}, default=str) + "\n"
        with explained(f"write {self.path}"):
            torn = not self._ends_with_newline()
            with self.path.open("ab") as stream:
                stream.write((("\n" if torn else "") + line).encode())

    def read(self) -> list[dict[str, Any]]:
        """Return every event; damaged lines are left out."""
        events: list[dict[str, Any]] = []
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                events.append(event)
        return events

    def _ends_with_newline(self) -> bool:
        try:
            with self.path.open("rb") as stream:
                if stream.seek(0, os.SEEK_END) == 0:
                    return True
                stream.seek(-1, os.SEEK_END)
                return stream.read(1) == b"\n"
        except FileNotFoundError:
            return True
