"""Triage of a run: every part one after another, results in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from nibblefit.defaults.evaluation.inputs import judge_batch, sample_count, test_batches
from nibblefit.errors import WorkspaceError
from nibblefit.run import Reporter
from nibblefit_tidl.triage.differences import Frames, layer_errors
from nibblefit_tidl.triage.figures import drawings_of, require_drawing
from nibblefit_tidl.triage.layers import FILE_NAME, layers_of, write_layer_info
from nibblefit_tidl.triage.opening import Subject, open_subject
from nibblefit_tidl.triage.page import triage_page
from nibblefit_tidl.triage.procedure import follow_procedure
from nibblefit_tidl.triage.ranking import rank_layers
from nibblefit_tidl.triage.results import Triage
from nibblefit_tidl.triage.stability import calibration_stability
from nibblefit_tidl.triage.traces.checking import TraceSource, check_traces
from nibblefit_tidl.triage.wording import json_of

#: Test samples on which layers are compared unless asked otherwise.
SAMPLES = 64
PAGE, DATA = "triage.html", "triage.json"
RATIOS, SCATTER = "snr.png", "scatter.png"


def triage_run(
    folder: Path | str, *, samples: int = SAMPLES, traces: TraceSource | None = None,
    quick: bool = False, reporter: Reporter | None = None,
) -> Triage:  # fmt: skip
    """Find where the latest integer graph of a run loses accuracy, and write what was found.

    Into the folder ``triage`` of the run go ``triage.html``, ``triage.json``, the two drawings and
    ``layer_info.txt``.

    Args:
        folder: Run folder of target ``tidl`` or ``tidl-classic``.
        samples: Test samples to compare on.
        traces: Trace files of TI's tools to compare with.
        quick: Compare layers (and traces) only: no 16-bit ranking, calibration check, procedure.
        reporter: Shows progress.

    Raises:
        InputError: Another target's run, or traces that cannot be compared.
        WorkspaceError: No run, nothing quantized, or results cannot be written.
        MissingExtraError: The extra ``report`` is not installed.
    """
    require_drawing()
    subject = open_subject(folder, reporter)
    found = examine(subject, samples=samples, traces=traces, quick=quick)
    write_results(found, subject, Path(folder).name)
    return found


def examine(
    subject: Subject, *, samples: int = SAMPLES, traces: TraceSource | None = None,
    quick: bool = False,
) -> Triage:  # fmt: skip
    """Return what `triage_run` writes, without writing it."""
    run, graph = subject.run, subject.graph
    layers = layers_of(subject.folded, classic=subject.classic)
    check = None if traces is None else check_traces(traces, graph, subject.folded, layers)
    count = sample_count(run, samples)
    size = judge_batch(graph, run.recipe.evaluate.batch_size)
    batches = (real for real, _ in test_batches(run, count, size))
    errors = layer_errors(subject.folded, graph, layers, batches)
    found = Triage(graph.target, run.part, count, layers, errors, traces=check)
    if quick:
        return found
    frames: Frames = np.concatenate([real for real, _ in test_batches(run, min(count, size), size)])
    ranking = rank_layers(subject, frames, run.reporter)
    return Triage(
        graph.target, run.part, count, layers, errors, ranking, calibration_stability(subject),
        follow_procedure(subject, ranking, frames), check,
    )  # fmt: skip


def write_results(found: Triage, subject: Subject, name: str) -> None:
    """Write page, data, drawings and our layer info into the triage folder of a run.

    Raises:
        WorkspaceError: A file cannot be written.
    """
    drawings = drawings_of(found.errors)
    html = triage_page(found, drawings, subject.graph.name or "network", name)
    data = json.dumps(json_of(found), indent=1, ensure_ascii=False) + "\n"
    try:
        subject.folder.mkdir(parents=True, exist_ok=True)
        (subject.folder / PAGE).write_text(html, encoding="utf-8")
        (subject.folder / DATA).write_text(data, encoding="utf-8")
        (subject.folder / RATIOS).write_bytes(drawings.ratios)
        (subject.folder / SCATTER).write_bytes(drawings.scatter)
        write_layer_info(found.layers, subject.folder / FILE_NAME)
    except OSError as error:
        raise WorkspaceError(
            f"cannot write the triage to {subject.folder}: {error.strerror}",
            hint="free disk space or make the run folder writable",
        ) from error
