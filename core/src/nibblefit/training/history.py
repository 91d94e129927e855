"""What each epoch ended with: the log, and the choice of the best."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from nibblefit.errors import WorkspaceError

#: Name of the log inside the step's folder.
FILE_NAME = "history.csv"
#: Prefix of figures measured on the validation split.
VALIDATION = "validation_"

Record = Mapping[str, float]


def write_history(folder: Path, history: Sequence[Record]) -> None:
    """Write the whole log, one row per epoch; a reader sees the old or the new file.

    Floats are written so that they read back equal. Durations are left out on purpose: the same
    training writes the same bytes.
    """
    columns = list(dict.fromkeys(name for record in history for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_readable(record) for record in history)
    path = folder / FILE_NAME
    draft = path.with_suffix(".csv.part")
    try:
        draft.write_text(text.getvalue(), encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105 - the atomic call, named
    except OSError as error:
        raise WorkspaceError(
            f"{path} cannot be written: {error.strerror}", hint="check space and permissions"
        ) from error


def _readable(record: Record) -> dict[str, object]:
    return {
        name: int(value) if name in ("epoch", "step") else repr(value)
        for name, value in record.items()
    }


def is_better(value: float, best: float | None, *, maximize: bool) -> bool:
    """Return whether `value` beats the best so far; ties keep the earlier, NaN never wins."""
    if math.isnan(value):
        return False
    if best is None:
        return True
    return value > best if maximize else value < best
