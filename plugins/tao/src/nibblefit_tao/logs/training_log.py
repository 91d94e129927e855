"""The CSV that TAO's trainings write, and which epoch of it is best.

First column ``epoch``, from 1; the others sorted by name, upper case first: ``AP_<class>`` …,
``loss``, ``lr``, ``mAP``, ``validation_loss``. Epochs without evaluation hold ``nan``. TAO leaves
the choice of an epoch to its user.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from nibblefit.errors import InputError, LimitError, did_you_mean

EPOCH = "epoch"
#: Our names of a training's figures → TAO's.
_NAMES = {"learning_rate": "lr", "validation_map50": "mAP"}
_LEFT_OUT = ("step",)

Row = Mapping[str, float]


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the epochs of a log.

    Raises:
        InputError: The file is no training log; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the training log {path}: {error}") from None
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or not lines[0] or lines[0][0] != EPOCH:
        raise InputError(f"{path}, line 1: a training log begins with the column '{EPOCH}'")
    columns = lines[0]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        try:
            rows.append({name: float(cell) for name, cell in zip(columns, line, strict=True)})
        except ValueError:
            raise InputError(f"{path}, line {number}: expected {len(columns)} numbers, found "
                             f"'{','.join(line)[:60]}'") from None  # fmt: skip
    if not rows:
        raise InputError(f"{path} holds no epoch", hint="the training wrote none yet")
    return rows


def log_text(history: Sequence[Row]) -> str:
    """Return a training's history as TAO's CSV."""
    renamed = [
        {_NAMES.get(name, name): value for name, value in row.items() if name not in _LEFT_OUT}
        for row in history
    ]
    names = sorted({name for row in renamed for name in row} - {EPOCH})
    lines = [",".join([EPOCH, *names])]
    for number, row in enumerate(renamed, start=1):
        cells = (row.get(name, math.nan) for name in names)
        lines.append(",".join([str(int(row.get(EPOCH, number))), *map(repr, map(float, cells))]))
    return "\n".join(lines) + "\n"


def best_epoch(rows: Sequence[Row], checkpoints: Collection[int] | None = None,
               metric: str = "mAP", loss: str = "validation_loss") -> int:  # fmt: skip
    """Return the best epoch among those with a finite metric and a checkpoint.

    The largest metric wins, then the smaller loss, then the earlier epoch.

    Args:
        rows: Of a log.
        checkpoints: Epochs that were saved; None: all.
        metric: Column that decides.
        loss: Column that decides ties; epochs without it lose them.

    Raises:
        InputError: The log has no such column.
        LimitError: No epoch has both a metric and a checkpoint.
    """
    if not any(metric in row for row in rows):
        known = {name for row in rows for name in row}
        raise InputError(f"the training log has no column '{metric[:40]}'; "
                         f"{did_you_mean(metric, known)}")  # fmt: skip
    usable = [
        row for row in rows
        if math.isfinite(row.get(metric, math.nan))
        and (checkpoints is None or int(row[EPOCH]) in checkpoints)
    ]  # fmt: skip
    if not usable:
        raise LimitError(
            f"no epoch has both a finite {metric} and a checkpoint",
            hint="evaluate at the epochs that are saved: make the validation period a multiple of "
            "the checkpoint interval",
        )

    def rank(row: Row) -> tuple[float, float, float]:
        tie = row.get(loss, math.inf)
        return (-row[metric], tie if math.isfinite(tie) else math.inf, row[EPOCH])

    return int(min(usable, key=rank)[EPOCH])
