"""What was recorded, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from nibblefit.results import Table
from nibblefit_tidl.recording.building import TRAIN, VALIDATION, Recorded


def table_of(made: Recorded) -> Table:
    """Return one row per class."""
    rows = tuple(
        (name, made.frames[name], made.counts.get((name, TRAIN), 0),
         made.counts.get((name, VALIDATION), 0))
        for name in made.classes
    )  # fmt: skip
    return Table("Recorded", ("class", "frames", "training pictures", "validation pictures"), rows)


def json_of(made: Recorded) -> dict[str, Any]:
    """Return the same as plain data."""
    return {
        "classes": [
            {"name": row[0], "frames": row[1], "training": row[2], "validation": row[3]}
            for row in table_of(made).rows
        ],
        "skipped": list(made.skipped),
        "contact_sheet": str(made.contact_sheet),
    }
