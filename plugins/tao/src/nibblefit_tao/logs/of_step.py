"""What a step leaves beside its result, in TAO's formats."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nibblefit.training.history import SECONDS_NAME
from nibblefit.workspace.storage import write_file
from nibblefit_tao.logs.naming import log_file
from nibblefit_tao.logs.status import Trained, status_lines
from nibblefit_tao.logs.training_log import log_text

STATUS_FILE = "status.json"

History = Sequence[Mapping[str, float]]


def now() -> datetime:
    """Return the moment a step begins."""
    return datetime.now(UTC)


def write_training(folder: Path, step: str, network: str, history: History) -> None:
    """Write a finished training's log and status lines into its folder.

    Args:
        folder: Folder of the step, with the durations of its epochs.
        step: Name of the step.
        network: Name of the network; says how TAO names the log.
        history: Its own epochs.
    """
    write_file(folder / log_file(network), log_text(history).encode())
    seconds = epoch_seconds(folder)
    # An earlier part of a training that was continued counts, so its epochs tell when it began.
    begun = now() - timedelta(seconds=sum(seconds))
    _write_status(folder, step, begun, {step: Trained(step, history, sum(seconds), seconds)})


def write_pruning(folder: Path, step: str, begun: datetime, kpi: Mapping[str, float]) -> None:
    """Write a finished pruning's status lines into its folder."""
    _write_status(folder, step, begun, ratios={step: kpi})


def write_finished(folder: Path, step: str, begun: datetime) -> None:
    """Write the status lines of a finished evaluation into its folder.

    An export has none: its folder goes to the device, and the same files are to have the same
    bytes, which moments never have.
    """
    _write_status(folder, step, begun)


def epoch_seconds(folder: Path) -> tuple[float, ...]:
    """Return how long each epoch of a training took; empty if that was not kept."""
    try:
        with (folder / SECONDS_NAME).open(encoding="utf-8") as file:
            return tuple(float(row["seconds"]) for row in csv.DictReader(file))
    except (OSError, ValueError, KeyError):
        return ()


def _write_status(
    folder: Path, step: str, begun: datetime, trainings: Mapping[str, Trained] | None = None,
    ratios: Mapping[str, Mapping[str, float]] | None = None,
) -> None:  # fmt: skip
    journal = [
        {"time": time.isoformat(), "step": step, "event": event}
        for time, event in ((begun, "started"), (now(), "finished"))
    ]
    lines = status_lines(journal, trainings or {}, ratios or {})
    write_file(folder / STATUS_FILE, ("\n".join(lines) + "\n").encode())
