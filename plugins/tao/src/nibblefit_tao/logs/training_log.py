"""The CSV that TAO's trainings write, and which epoch of it is best.

First column ``epoch``, from 1; the others sorted by name, upper case first: ``AP_<class>`` …,
``loss``, ``lr``, ``mAP``, ``validation_loss``. Epochs without evaluation hold ``nan``; numbers have
no exponent. TAO leaves the choice of an epoch to its user.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from nibblefit.errors import InputError, LimitError, did_you_mean
from nibblefit.training.choice import Judged, is_preferred
from nibblefit.training.history import VALIDATION, detail_in

EPOCH = "epoch"
#: Our names of a training's figures → TAO's.
_NAMES = {"learning_rate": "lr", f"{VALIDATION}map50": "mAP"}
#: Our name of an average precision → the beginning of TAO's; the class follows.
_CLASS_PRECISION = {f"{VALIDATION}ap50": "AP_"}
_LEFT_OUT = ("step",)

Row = Mapping[str, float]


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the epochs of a log.

    Raises:
        InputError: The file is no training log; names the line.
    """
    try:
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the training log {path}: {error}") from None
    if not lines or not lines[0] or lines[0][0] != EPOCH:
        raise InputError(f"{path}, line 1: a training log begins with the column '{EPOCH}'")
    columns = [name.strip() for name in lines[0]]
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        try:
            row = {name: float(cell) for name, cell in zip(columns, line, strict=True)}
            int(row[EPOCH])
        except (ValueError, OverflowError):
            raise InputError(f"{path}, line {number}: expected {len(columns)} numbers, found "
                             f"'{','.join(line)[:60]}'") from None  # fmt: skip
        rows.append(row)
    if not rows:
        raise InputError(f"{path} holds no epoch", hint="the training wrote none yet")
    return rows


def log_text(history: Sequence[Row]) -> str:
    """Return a training's history as TAO's CSV; every number reads back equal."""
    renamed = [
        {_column(name): value for name, value in row.items() if name not in _LEFT_OUT}
        for row in history
    ]
    names = sorted({name for row in renamed for name in row} - {EPOCH})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([EPOCH, *names])
    for number, row in enumerate(renamed, start=1):
        cells = (_cell(row.get(name, math.nan)) for name in names)
        writer.writerow([int(row.get(EPOCH, number)), *cells])
    return text.getvalue()


def _column(name: str) -> str:
    """Return TAO's name of a figure; ours where TAO has none."""
    metric, part = detail_in(name) or ("", "")
    if metric in _CLASS_PRECISION:
        return _CLASS_PRECISION[metric] + part
    return _NAMES.get(name, name)


def _cell(value: float) -> str:
    return np.format_float_positional(np.float64(value), trim="0")


def best_epoch(rows: Sequence[Row], checkpoints: Collection[int] | None = None,
               metric: str = "mAP", loss: str = "validation_loss") -> int:  # fmt: skip
    """Return the best epoch among those with a finite metric and a checkpoint.

    The largest metric wins, then the smaller loss, then the earlier epoch: core's own rule.

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
    best: Judged | None = None
    for row in usable:
        tie = row.get(loss, math.inf)
        one = Judged(int(row[EPOCH]), row[metric], tie if math.isfinite(tie) else math.inf)
        if is_preferred(one, best, maximize=True):
            best = one
    assert best is not None  # there is at least one
    return best.epoch
