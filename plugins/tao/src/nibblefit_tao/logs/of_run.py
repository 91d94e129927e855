"""A run folder as TAO's logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nibblefit import open_run
from nibblefit.models import Model
from nibblefit.workspace.storage import make_folder, write_file
from nibblefit_tao.logs.naming import LOG_FILE, log_file
from nibblefit_tao.logs.of_step import STATUS_FILE, epoch_seconds
from nibblefit_tao.logs.status import Trained, status_lines
from nibblefit_tao.logs.training_log import log_text
from nibblefit_tao.sizes import MIB, size_of

_PRUNE = "prune"
_TRAININGS = ("train", "retrain", "qat")


def write_logs(run: Path, out: Path) -> list[Path]:
    """Write a CSV for each finished training, and the status of all steps.

    A log that has TAO's name lies in a folder of its step: TAO gives both trainings one name.

    Args:
        run: Run folder.
        out: Folder to write to; made if it is not there.

    Returns:
        The files.
    """
    opened = open_run(run)
    make_folder(out)
    journal = opened.journal()
    seconds = {str(e["step"]): float(e["seconds"]) for e in journal if e["event"] == "finished"}
    trainings: dict[str, Trained] = {}
    ratios: dict[str, dict[str, float]] = {}
    written = []
    for step in opened.steps:
        base = step.partition("@")[0]
        if base in _TRAININGS:
            model = opened.model(step)
            history = _own(model, seconds, step)
            history = replace(history, epochs=epoch_seconds(opened.folder(step)))
            trainings[step] = history
            written.append(_log_path(out, step, model.graph.name))
            write_file(written[-1], log_text(history.history).encode())
        elif base == _PRUNE:
            ratios[step] = ratio_figures(opened.model(step))
    path = out / STATUS_FILE
    write_file(path, ("\n".join(status_lines(journal, trainings, ratios)) + "\n").encode())
    return [*written, path]


def _log_path(out: Path, step: str, network: str) -> Path:
    plain, name = step.replace("@", "_"), log_file(network)
    if name == LOG_FILE:
        return out / f"training_log_{plain}.csv"
    return make_folder(out / plain) / name


def _own(model: Model, seconds: dict[str, float], step: str) -> Trained:
    """Return the last training of a model's history: epochs count from 1 in each."""
    history = list(model.history)
    starts = [i for i, row in enumerate(history) if row.get("epoch") == 1]
    return Trained(step, history[starts[-1] if starts else 0 :], seconds.get(step, 0.0))


def ratio_figures(model: Model) -> dict[str, float]:
    """Return what TAO tells of a pruned model: remaining share, MiB, millions of parameters."""
    size = size_of(model.graph)
    return {
        "pruning_ratio": float(model.extra["pruning"]["ratio"]),
        "size": size.weight_bytes / MIB,
        "param_count": size.parameters / 1e6,
    }
