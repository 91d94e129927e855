"""A narrow JDetNet on blood cells: float, with L1, sparse, and sparse in 8 bits.

The recipe is examples/cells/jdetnet.toml; each seed is a run of its own, trained from nothing. The
set is small (72 test photographs), so figures are means over the seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibblefit
from benchmarks.maxim_accuracy import LimitMissedError, percent
from benchmarks.section import ROOT, Grid, Section
from benchmarks.tidl_stages import (
    STAGES,
    StageRow,
    check_rows,
    mean_rows,
    stage_grid,
    stage_rows,
)
from nibblefit.cli.reporter import TerminalReporter
from nibblefit.results import Report, Status, Table

RECIPE = ROOT / "examples" / "cells" / "jdetnet.toml"
RUNS = ROOT / "runs" / "results" / "tidl"
METRIC = "map50"
#: Least precision of the float network, largest loss of the integers, least share of zeros.
FLOOR, DROP, ZEROS = 0.6, 0.03, 0.5


def measure(data: Path, seeds: Sequence[int] = (1, 2, 3)) -> Section:
    """Train, sparsify and quantize the detector, once per seed.

    Args:
        data: Folder of the data set, in VOC's layout.
        seeds: Seeds of the runs.

    Raises:
        LimitMissedError: The mean misses `FLOOR`, `DROP` or `ZEROS`, or integers were not compared.
        NibblefitError: A run missed one of the recipe's limits.
    """
    folders = {seed: carried_out(data, seed) for seed in seeds}
    rows = {seed: stage_rows(folder, METRIC) for seed, folder in folders.items()}
    mean = mean_rows(list(rows.values()))
    check_rows("tidl_detector", mean, floor=FLOOR, drop=DROP, zeros=ZEROS)
    runs = [nibblefit.open_run(folder) for folder in folders.values()]
    note = (
        "`examples/cells/jdetnet.toml` on `tidl-classic`: mean average precision at an overlap of "
        f"0.5 on the 72 test photographs, means of {len(seeds)} seeds. Zeros are those of all "
        "convolutions; in the last row, of their codes, where rounding adds some. A negative drop "
        "is a gain: the later stages go on training. Time: one run on one thread, the stage and "
        "its evaluation; other work shared the machine. Engine and judge "
        f"agreed on all {sum(map(compared, runs)):,} integers compared: every one of every layer. "
        f"A mean below {FLOOR}, a loss of more than {100 * DROP:.0f} points, or less than "
        f"{percent(ZEROS)} zeros fails the run."
    )
    title = "JDetNet on blood cells (TIDL)"
    grids = [stage_grid("", "mAP@0.5", mean, note), _seeds(rows), _classes(runs), _latency(runs)]
    return Section("tidl_detector", title, "make results", grids)


def carried_out(data: Path, seed: int) -> Path:
    """Run the recipe with one seed, on one thread, and return the run folder."""
    settings = {"data.path": str(data), "run.seed": seed, "run.threads": 1}
    recipe = nibblefit.read_recipe(RECIPE, settings)
    folder = RUNS / f"cells_{seed}"
    nibblefit.run_recipe(recipe, folder, reporter=TerminalReporter())
    return folder


def compared(run: nibblefit.OpenRun) -> int:
    """Return the number of integers on which engine and judge agree.

    Raises:
        LimitMissedError: The comparison is missing or did not pass.
    """
    report = run.report("evaluate")
    found = next((f for f in report.findings if f.rule == "exact.engine"), None)
    if found is None or found.status is not Status.PASSED:
        raise LimitMissedError(f"{report.subject}: exact.engine did not pass")
    return int(found.value or 0)


def _seeds(rows: Mapping[int, Mapping[str, StageRow]]) -> Grid:
    cells = [
        [seed, *(percent(row.metric) for row in stages.values()),
         percent(list(stages.values())[-1].by_weights),
         f"{sum(row.seconds for row in stages.values()) / 60:.1f} min"]
        for seed, stages in rows.items()
    ]  # fmt: skip
    names = next(iter(rows.values()))
    return Grid("Each seed: mAP@0.5", ("seed", *names, "zeros of weights", "time"), cells)


def _classes(runs: Sequence[nibblefit.OpenRun]) -> Grid:
    """Return the average precision of each class, mean over the runs, stage by stage."""
    by_stage = {
        name: [_precisions(run.report(step)) for run in runs]
        for step, (_, name) in STAGES.items()
        if step in runs[0].steps
    }
    first = next(iter(by_stage.values()))[0]
    cells = [
        [label, boxes]
        + [percent(statistics.fmean(run[label][1] for run in found)) for found in by_stage.values()]
        for label, (boxes, _) in first.items()
    ]
    return Grid("Each class: average precision", ("class", "test boxes", *by_stage), cells)


def _precisions(report: Report) -> dict[str, tuple[int, float]]:
    """Return class → (boxes to find, average precision) of a detection report."""
    rows = _table(report, "Classes").rows
    return {str(name): (int(boxes), float(value or 0)) for name, boxes, value in rows}


def _latency(runs: Sequence[nibblefit.OpenRun]) -> Grid:
    """Return the estimated time of a frame on EVE before and after the zeros."""
    cells = []
    for name, step in (("L2", "evaluate_initial"), ("sparse", "evaluate_sparse")):
        table = [_table(run.report(step), "Latency") for run in runs]
        column = table[0].columns.index("EVE ms")
        cells.append([name, f"{statistics.fmean(float(t.rows[-1][column]) for t in table):.1f}"])
    note = (
        "By the latency model of a section below, for 256 × 192 pixels, sparse kernel. Layers "
        "that are never thresholded (1 × 1, narrow) keep their time."
    )
    return Grid("Estimated latency on EVE (AM5749)", ("network", "ms per frame"), cells, note)


def _table(report: Report, title: str) -> Table:
    return next(table for table in report.tables if table.title == title)
