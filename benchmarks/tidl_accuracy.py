"""Three-stage sparse training on TIDL: two classifiers and a segmenter, from L2 to 8 bits.

The networks are narrow variants of JacintoNet11 and JSegNet21, because their pictures are small;
the recipes are in benchmarks/recipes. Each recipe's own gates hold for every run: the floor of the
first stage, and the drop against it after each further one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibblefit
from benchmarks.maxim_accuracy import compared
from benchmarks.section import ROOT, Grid, Section
from benchmarks.tidl_stages import StageRow, check_rows, mean_rows, stage_grid, stage_rows
from nibblefit.cli.reporter import TerminalReporter

RECIPES = ROOT / "benchmarks" / "recipes"
RUNS = ROOT / "runs" / "results" / "tidl"
#: Least share of zeros that counts as the 80 % that every recipe asks for.
LEAST_ZEROS = 0.79
#: Scenes of the segmenter: training and test, and their side in pixels.
SCENES = (4000, 500, 96)


@dataclass(frozen=True, slots=True)
class Case:
    """One recipe on one data set.

    Attributes:
        recipe: Name of the recipe's file.
        title: Heading of its table.
        metric: What the metric is called.
        data: Folder of the data set.
        seeds: Each is a run of its own; figures are means.
        about: What stands below the table, behind the target.
    """

    recipe: str
    title: str
    metric: str
    data: Path
    seeds: Sequence[int]
    about: str


def classifiers(data: Path) -> Section:
    """Train the classifier on MNIST and on the excerpt of Fashion-MNIST.

    Args:
        data: Folder of both data sets.
    """
    cases = (
        Case("tidl_mnist", "MNIST", "top-1", data / "mnist", (1,),
             "54,000 training, 10,000 test images."),
        Case("tidl_fashion", "Fashion-MNIST excerpt", "top-1", data / "fashion-mnist", (1, 2, 3),
             "2,700 training, 615 test images."),
    )  # fmt: skip
    title = "JacintoNet11-style classifier on TIDL, sparse and in 8 bits"
    return _section("tidl_classifier", title, cases)


def segmenter(mnist: Path) -> Section:
    """Train the segmenter on scenes that examples/scenes/make_scenes.py composes.

    Args:
        mnist: Folder of MNIST's files, whose digits the scenes show.
    """
    training, test, side = SCENES
    case = Case("tidl_scenes", "Digits over photographs", "mIoU", scenes(mnist), (1,),
                f"{training:,} scenes of {side} × {side} pixels, of which 5 % validate, and {test} "
                "to test, with other digits and other parts of the photographs; mean over 11 "
                "classes.")  # fmt: skip
    title = "JSegNet21-style segmenter on TIDL, sparse and in 8 bits"
    return _section("tidl_segmenter", title, (case,))


def scenes(mnist: Path) -> Path:
    """Return the folder of the scenes, composed unless they are there."""
    folder = RUNS / "scenes"
    training, test, side = SCENES
    done = folder / "ImageSets" / "Segmentation" / "test.txt"
    if not done.is_file():
        script = ROOT / "examples" / "scenes" / "make_scenes.py"
        subprocess.run(
            [sys.executable, script, mnist, folder, "--training", str(training), "--test",
             str(test), "--size", str(side)], check=True,
        )  # fmt: skip
    return folder


def _section(name: str, title: str, cases: Sequence[Case]) -> Section:
    """Run the cases and return their tables, which are kept even where a limit is missed."""
    grids, found = [], {}
    for case in cases:
        runs = [_run(case, seed) for seed in case.seeds]
        rows = found[case.recipe] = mean_rows([stage_rows(folder) for folder in runs])
        grids.append(_grid(case, rows, runs))
    note = (
        "Initial training with L2, fine-tuning with L1, then thresholds that rise until 80 % of "
        "the weights of convolutions are zero, then 8 bits. Zeros are counted in the three ways "
        "of TI's documents; in the last row they are codes that stand for zero, among them "
        "weights that quantization rounds to it. Drops are points against the first row, below "
        "zero where the training that a later stage adds gains more than its zeros cost. Time: of "
        "the stage with its evaluation, on one thread."
    )
    section = Section(name, title, "make results", grids, note)
    section.save()
    for case in cases:
        limits = nibblefit.read_recipe(RECIPES / f"{case.recipe}.toml").evaluate
        check_rows(case.title, found[case.recipe], floor=limits.floor, drop=limits.max_drop,
                   zeros=LEAST_ZEROS)  # fmt: skip
    return section


def _run(case: Case, seed: int) -> Path:
    folder = RUNS / f"{case.recipe}_{seed}"
    settings: Mapping[str, Any] = {"data.path": str(case.data), "run.seed": seed, "run.threads": 1}
    recipe = nibblefit.read_recipe(RECIPES / f"{case.recipe}.toml", settings)
    nibblefit.run_recipe(recipe, folder, reporter=TerminalReporter())
    return folder


def _grid(case: Case, rows: Mapping[str, StageRow], runs: Sequence[Path]) -> Grid:
    opened = [nibblefit.open_run(folder) for folder in runs]
    integers = sum(compared(run.report("evaluate")) for run in opened)
    recipe = opened[0].recipe
    arguments = recipe.model.arguments
    limits = recipe.evaluate
    seeded = f" Means of {len(runs)} seeds." if len(runs) > 1 else ""
    note = (
        f"Target `{recipe.target.name}`, width {arguments['width']} instead of 32. {case.about}"
        f"{seeded} Required: {100 * limits.floor:g} % before sparsity, a drop of at most "
        f"{100 * limits.max_drop:g}. Engine and training simulation agreed with the judge on all "
        f"{integers:,} integers compared. Recipe: `benchmarks/recipes/{case.recipe}.toml`."
    )
    return stage_grid(case.title, case.metric, rows, note)
