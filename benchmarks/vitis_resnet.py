"""ResNet-18 on the DPU: trained on MNIST, transferred to Fashion-MNIST in three ways, in int8.

Pictures are padded to 32x32; the network is the published one at full width, the student half as
wide. The recipes are in benchmarks/recipes; their gates hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibblefit
from benchmarks.section import ROOT, Grid, Section
from nibblefit.cli.reporter import TerminalReporter
from nibblefit.defaults.summary import summary_table
from nibblefit.results import Status
from nibblefit.workspace import OpenRun

RECIPES = ROOT / "benchmarks" / "recipes"
RUNS = ROOT / "runs" / "results"
#: The best of the three ways must reach this.
FLOOR = 0.8
#: Largest drop from float to int8, in shares of the test samples.
DROP = 0.01
#: One input and the numbers of classes for which the published network is summed up.
SHAPE, CLASSES = (3, 224, 224), (1000, 30)


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Attributes:
        recipe: Name of the recipe's file.
        title: What it is.
        data: Folder of the data set.
        key: Recipe key that names the run it starts from, if any.
        before: That run's recipe.
    """

    recipe: str
    title: str
    data: str
    key: str = ""
    before: str = ""


CASES = (
    Case("vitis_mnist", "MNIST, from scratch", "mnist"),
    Case("vitis_fashion_head", "Fashion-MNIST, feature extraction", "fashion-mnist",
         "model.weights", "vitis_mnist"),
    Case("vitis_fashion_tune", "Fashion-MNIST, fine-tuning", "fashion-mnist",
         "model.weights", "vitis_mnist"),
    Case("vitis_fashion_distill", "Fashion-MNIST, distillation", "fashion-mnist",
         "distill.teacher", "vitis_fashion_tune"),
)  # fmt: skip


class LimitMissedError(SystemExit):
    """A figure misses what is required of it."""


def measure(data: Path) -> Section:
    """Train, quantize and compile all four; data sets are folders of `data`."""
    runs = [(case, _run(case, data)) for case in CASES]
    _check(runs)
    rows = [_row(case, run) for case, run in runs]
    columns = ("training", "width", "parameters", "epochs", "float", "int8", "drop (points)",
               "integers compared", "training time")  # fmt: skip
    figures = Grid("", columns, rows, _note())
    return Section(
        "vitis_resnet", "ResNet-18 on the DPU, three ways of transfer", "make results",
        [figures, _files(runs), _summary()],
    )  # fmt: skip


def _note() -> str:
    return (
        "Top-1 on the test split: 10,000 images of MNIST; the last 615 images of the Fashion-MNIST "
        "excerpt, of which the first 3,000 train and validate. MNIST trains on 57,000 images. "
        "Pictures are padded to 32 × 32 and go through the published ResNet-18: 7 × 7 first, then "
        "pooling; width is the share of its 64 to 512 channels. "
        "Feature extraction: a new head alone learns. Fine-tuning: a new head, earlier stages at "
        "0.2 and 0.5 of the rate. Distillation: a network of half the width starts from random "
        "weights and follows the fine-tuned one. int8: target `vitis`, part KV260, default "
        "configuration. Integers of every layer are compared between engine, judge and training's "
        "simulation; none differed. Trainings ran on two threads."
    )


def _run(case: Case, data: Path) -> OpenRun:
    from nibblefit.recipe_file import read_recipe
    from nibblefit.runner import run

    chosen: dict[str, Any] = {"data.path": str(data / case.data)}
    if case.key:
        chosen[case.key] = str(RUNS / case.before)
    place = RUNS / case.recipe
    run(read_recipe(RECIPES / f"{case.recipe}.toml", chosen), place, reporter=TerminalReporter())
    return nibblefit.open_run(place)


def _top1(run: OpenRun, step: str) -> float:
    return float(run.report(step).metrics["top1"])


def _check(runs: Sequence[tuple[Case, OpenRun]]) -> None:
    """Refuse figures that miss what is required; MNIST's floor is a gate of its recipe."""
    best = max(_top1(run, "evaluate") for case, run in runs if case.key)
    if best < FLOOR:
        raise LimitMissedError(f"the best transfer reaches {best:.4f}, below {FLOOR}")
    for case, run in runs:
        drop = _top1(run, "evaluate_float") - _top1(run, "evaluate")
        if drop > DROP:
            raise LimitMissedError(f"{case.title}: int8 costs {drop:.4f}, more than {DROP}")


def _row(case: Case, run: OpenRun) -> list[str]:
    recipe, floating, integer = run.recipe, _top1(run, "evaluate_float"), _top1(run, "evaluate")
    parameters = summary_table(run.source()).rows[-1][-1]
    return [
        case.title, f"{recipe.model.arguments['width']:g}", f"{parameters:,}",
        str(len(run.model("float").history)), f"{100 * floating:.2f} %", f"{100 * integer:.2f} %",
        f"{100 * (floating - integer):.2f}", _compared(run),
        f"{run.manifest('float').seconds:.0f} s",
    ]  # fmt: skip


def _compared(run: OpenRun) -> str:
    """Return on what the integers were compared, in the words of the evaluation."""
    exact = [f for f in run.report("evaluate").findings if f.rule.startswith("exact.")]
    if not exact or any(finding.status is Status.FAILED for finding in exact):
        raise LimitMissedError(f"{run.path}: integers were not compared, or differ")
    return "; ".join(dict.fromkeys(f.message.partition(" agree on ")[2] for f in exact))


def _files(runs: Sequence[tuple[Case, OpenRun]]) -> Grid:
    rows = []
    for case, run in runs:
        folder = run.folder()
        command = next(
            line for line in (folder / "README.md").read_text("utf-8").splitlines()
            if line.startswith("vai_c_xir")
        )  # fmt: skip
        rows.append([case.title, f"`{folder.relative_to(ROOT)}`", f"`{command}`"])
    return Grid(
        "Files for KV260", ("training", "folder", "command there, in AMD's container"), rows
    )


def _summary() -> Grid:
    """Return the layers of the published network, and its size with two numbers of classes."""
    from nibblefit.nn.capture import capture
    from nibblefit_vitis.networks.resnet import ResNet18

    tables = [summary_table(capture(ResNet18(n).eval(), SHAPE)) for n in CLASSES]
    sizes = (f"{table.rows[-1][-1]:,} with {n:,}" for n, table in zip(CLASSES, tables, strict=True))
    rows = [[*row[:3], f"{row[3]:,}"] for row in tables[0].rows]
    return Grid(
        "Layers of ResNet-18 as published, 224 × 224 pixels, 1,000 classes",
        tables[0].columns, rows,
        f"Parameters by number of classes: {', '.join(sizes)}. `nibblefit inspect … --details` "
        "prints this table for any network.",
    )  # fmt: skip
