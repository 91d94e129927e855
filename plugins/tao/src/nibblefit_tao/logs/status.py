"""TAO's status file: one JSON object a line, appended while a task runs.

Dates are ``M/D/YYYY`` and times ``H:M:S``, both without leading zeros; durations are
``H:MM:SS.ffffff``; figures stand under ``graphical`` and ``kpi``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError
from nibblefit.training.history import VALIDATION, detail_in
from nibblefit_tao.logs.wording import EPOCH, MEASURED, RATIO, words_of

#: Our names of validation figures → TAO's.
_FIGURES = {"validation_loss": "validation loss", "validation_map50": "mean average precision"}
STATUSES = ("STARTED", "RUNNING", "SUCCESS", "FAILURE", "SKIPPED")
Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training of a run.

    Attributes:
        step: Name of the step.
        history: Its epochs.
        seconds: How long it took.
        epochs: How long each epoch took; where that is not known they share it evenly.
    """

    step: str
    history: Sequence[Mapping[str, float]]
    seconds: float
    epochs: Sequence[float] = ()


def read_status(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a status file.

    Raises:
        InputError: A line is no status; names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the status file {path}: {error}") from None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or entry.get("status") not in STATUSES:
            raise InputError(
                f"{path}, line {number}: '{line[:60]}' is no line of status",
                hint=f"expected a JSON object with status {', '.join(STATUSES)}",
            )
        found.append(entry)
    return found


def status_lines(journal: Iterable[Line], trainings: Mapping[str, Trained],
                 ratios: Mapping[str, Mapping[str, float]]) -> Iterator[str]:  # fmt: skip
    """Yield the lines that TAO would have written for a run.

    Args:
        journal: Events of the run.
        trainings: Finished trainings by step.
        ratios: What is told of each finished prune step (``pruning_ratio``, ``size``,
            ``param_count``).
    """
    for event in journal:
        moment = datetime.fromisoformat(str(event["time"]))
        step = str(event.get("step", ""))
        kind, words = event["event"], words_of(step)
        if kind == "started":
            yield _line(moment, "STARTED", words.started)
        elif kind == "finished":
            if step in trainings:
                yield from _epochs(moment, trainings[step])
            if step in ratios:
                message = RATIO.format(ratio=ratios[step]["pruning_ratio"])
                yield _line(moment, "RUNNING", message, kpi=dict(ratios[step]))
            yield _line(moment, "SUCCESS", words.finished)
        elif kind == "failed":
            yield _line(moment, "FAILURE", str(event.get("problem", "")))
        elif kind == "interrupted":
            yield _line(moment, "FAILURE", words.interrupted)


def _epochs(end: datetime, trained: Trained) -> Iterator[str]:
    """Yield a line for each epoch, and one for what validation found in it."""
    count = len(trained.history)
    took = list(trained.epochs)
    if len(took) != count:
        took = [trained.seconds / max(1, count)] * count
    for number, row in enumerate(trained.history, start=1):
        each = took[number - 1]
        moment = end - timedelta(seconds=sum(took[number:]))
        figures = {
            "loss": str(row.get("loss", "nan")),
            "learning_rate": str(row.get("learning_rate", "nan")),
        }
        yield _line(
            moment, "RUNNING", EPOCH, epoch=number, max_epoch=count,
            time_per_epoch=_duration(each), eta=_duration(each * (count - number)),
            graphical=figures,
        )  # fmt: skip
        measured = {
            _FIGURES.get(name, name.removeprefix(VALIDATION)): value
            for name, value in row.items()
            if name.startswith(VALIDATION) and math.isfinite(value) and detail_in(name) is None
        }  # fmt: skip
        if measured:
            yield _line(moment, "RUNNING", MEASURED, graphical=measured)


def _line(moment: datetime, status: str, message: str, **more: Any) -> str:
    stamp = {
        "date": f"{moment.month}/{moment.day}/{moment.year}",
        "time": f"{moment.hour}:{moment.minute}:{moment.second}",
        "status": status,
        "verbosity": "INFO",
        "message": message,
    }
    return json.dumps({**{k: v for k, v in more.items() if not isinstance(v, dict)}, **stamp,
                       **{k: v for k, v in more.items() if isinstance(v, dict)}})  # fmt: skip


def _duration(seconds: float) -> str:
    text = str(timedelta(seconds=round(seconds, 6)))
    return text if "." in text else f"{text}.000000"
