"""What one call of the command line remembers for its error messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Invocation:
    """Facts a command leaves behind, so that `nibblefit.cli.entry` can explain a failure.

    Attributes:
        traceback: Show the traceback of an unexpected error instead of writing it to a file.
        folder: Run folder in use; the traceback file goes there.
        resume: Command that carries on after an interruption, empty if nothing was under way.
    """

    traceback: bool = False
    folder: Path | None = None
    resume: str = ""
