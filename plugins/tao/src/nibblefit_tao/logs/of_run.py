"""A run folder as TAO's logs."""

from __future__ import annotations

from pathlib import Path

from nibblefit import open_run
from nibblefit.models import Model
from nibblefit.workspace.storage import write_file
from nibblefit_tao.logs.status import Trained, status_lines
from nibblefit_tao.logs.training_log import log_text
from nibblefit_tao.sizes import MIB, size_of

STATUS_FILE = "status.json"
_PRUNE = "prune"
_TRAININGS = ("train", "retrain", "qat")


def write_logs(run: Path, out: Path) -> list[Path]:
    """Write a CSV for each finished training, and the status of all steps.

    Args:
        run: Run folder.
        out: Folder to write to; made if it is not there.

    Returns:
        The files.
    """
    opened = open_run(run)
    out.mkdir(parents=True, exist_ok=True)
    journal = opened.journal()
    seconds = {str(e["step"]): float(e["seconds"]) for e in journal if e["event"] == "finished"}
    trainings: dict[str, Trained] = {}
    ratios: dict[str, dict[str, float]] = {}
    written = []
    for step in opened.steps:
        base = step.partition("@")[0]
        if base in _TRAININGS:
            history = _own(opened.model(step), seconds, step)
            trainings[step] = history
            path = out / f"training_log_{step.replace('@', '_')}.csv"
            write_file(path, log_text(history.history).encode())
            written.append(path)
        elif base == _PRUNE:
            ratios[step] = _ratio(opened.model(step))
    path = out / STATUS_FILE
    write_file(path, ("\n".join(status_lines(journal, trainings, ratios)) + "\n").encode())
    return [*written, path]


def _own(model: Model, seconds: dict[str, float], step: str) -> Trained:
    """Return the last training of a model's history: epochs count from 1 in each."""
    history = list(model.history)
    starts = [i for i, row in enumerate(history) if row.get("epoch") == 1]
    return Trained(step, history[starts[-1] if starts else 0 :], seconds.get(step, 0.0))


def _ratio(model: Model) -> dict[str, float]:
    size = size_of(model.graph)
    return {
        "pruning_ratio": float(model.extra["pruning"]["ratio"]),
        "size": size.weight_bytes / MIB,
        "param_count": size.parameters / 1e6,
    }
