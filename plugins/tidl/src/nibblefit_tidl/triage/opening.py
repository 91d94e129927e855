"""Open a run for triage: its float network, its integers, and what they were made with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from nibblefit.errors import InputError, WorkspaceError
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.plan import Stage
from nibblefit.quantization.fold import fold
from nibblefit.report.lineage import Lineage
from nibblefit.run import Reporter, Run
from nibblefit.runner import RecipeSources, SilentReporter, make_manager, make_setting
from nibblefit.runner.ingredients import seed_of
from nibblefit.workspace import OpenRun, open_run
from nibblefit_tidl.front.stage import on_pixels

CLASSIC, CURRENT = "tidl-classic", "tidl"
#: Folder inside the run folder that triage writes to.
FOLDER = "triage"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at.

    Attributes:
        run: Handle with data, task, options and recipe, as the quantize step had it.
        model: Float model that was quantized.
        folded: Its graph without batch norm, whose tensors the integer graph names.
        graph: The integer graph.
        folder: Where results are written.
        step: Step that made the integer graph.
    """

    run: Run
    model: Model
    folded: Graph
    graph: QuantizedGraph
    folder: Path
    step: str

    @property
    def classic(self) -> bool:
        """Whether the target is the classic generation."""
        return self.graph.target == CLASSIC


def open_subject(folder: Path | str, reporter: Reporter | None = None) -> Subject:
    """Return the latest integer graph of a run with the model behind it.

    Raises:
        InputError: The run is another target's.
        WorkspaceError: No run folder, or nothing in it is quantized yet.
    """
    opened = open_run(folder)
    recipe = opened.recipe
    if recipe.target.name not in (CLASSIC, CURRENT):
        raise InputError(
            f"{folder} is a run of target '{recipe.target.name}'; triage is for '{CURRENT}' and "
            f"'{CLASSIC}'",
            hint="`nibblefit report` shows the noise of every layer for any target",
        )
    step, source = _quantized_step(opened)
    manager = make_manager(recipe)
    setting, info = make_setting(recipe, manager), manager.target.info
    sources = RecipeSources(manager.model_formats(), manager.data_readers())
    if recipe.run.threads:
        torch.set_num_threads(recipe.run.threads)
    place = Path(folder) / FOLDER
    run = Run(
        recipe=recipe, stage=Stage.QUANTIZE, step=step, part=setting.part, options=setting.options,
        folder=place, scratch=place, seed=seed_of(recipe, step), device="cpu", hooks=manager,
        reporter=reporter or SilentReporter(), task=sources.task(recipe, info),
        data=sources.data(recipe, info), calibration=sources.calibration(recipe, info),
    )  # fmt: skip
    model = opened.model(source)
    run, model = on_pixels(run, model)
    return Subject(run, model, fold(model.graph), opened.graph(step), place, step)


def _quantized_step(opened: OpenRun) -> tuple[str, str]:
    """Return the latest step that made integers, and the step whose model they come from."""
    lineage = Lineage(opened, opened.steps)
    for step in reversed(lineage.of_kind("quantized")):
        for source in lineage.parents(step):
            if lineage.kind(source) == "model":
                return step, source
    raise WorkspaceError(
        f"{opened.path} has no integer graph to look at",
        hint="run up to quantize first; with tensor_bits = 32 nothing is quantized",
    )
