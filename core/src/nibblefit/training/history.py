"""What each epoch ended with: the log."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nibblefit.errors import WorkspaceError

#: Name of the log inside the step's folder.
FILE_NAME = "history.csv"
#: Name of the file with durations beside it.
SECONDS_NAME = "seconds.csv"
#: Prefix of figures measured on the validation split.
VALIDATION = "validation_"
#: Column of the log that marks the epoch whose weights are kept.
KEPT = "kept"

Record = Mapping[str, float]
#: A figure of one class or other part: ``ap50[car]``.
_DETAIL = re.compile(r"([^\[]+)\[(.*)\]", re.DOTALL)


def named_details(details: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield (``ap50[car]``, value) for every finite figure of `DetailedSink.details`."""
    for metric, parts in details.items():
        for part, value in parts.items():
            if math.isfinite(value):
                yield f"{metric}[{part}]", float(value)


def detail_in(column: str) -> tuple[str, str] | None:
    """Return the metric and the part that a column is about; None for a figure of the whole."""
    found = _DETAIL.fullmatch(column)
    return None if found is None else (found[1], found[2])


def figures_of(record: Record) -> dict[str, float]:
    """Return what a terminal line shows of an epoch: no counters, no figures of single parts."""
    counters = ("epoch", "step")
    return {n: v for n, v in record.items() if n not in counters and detail_in(n) is None}


def write_history(folder: Path, history: Sequence[Record], kept: int = 0) -> None:
    """Write the whole log, one row per epoch; a reader sees the old or the new file.

    Floats are written so that they read back equal. Durations are left out on purpose: the same
    training writes the same bytes.

    Args:
        folder: Where to.
        history: The epochs.
        kept: Epoch that is the best so far, in the end the one kept: 1 in its column `KEPT`.
    """
    columns = [*dict.fromkeys(name for record in history for name in record), KEPT]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for record in history:
        writer.writerow({**_readable(record), KEPT: int(record.get("epoch") == kept)})
    _write(folder / FILE_NAME, text.getvalue())


def write_seconds(folder: Path, seconds: Sequence[float]) -> None:
    """Write how long each epoch took, beside the log: durations never repeat."""
    rows = (f"{number},{value:.6f}\n" for number, value in enumerate(seconds, start=1))
    _write(folder / SECONDS_NAME, "epoch,seconds\n" + "".join(rows))


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".csv.part")
    try:
        draft.write_text(text, encoding="utf-8")
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
