"""The target object. Heavy imports wait for their hook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nibblefit.hooks import ApiVersion, TargetInfo, hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit.quantization.layer_options import LayerOptions
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.options import TaoOptions

if TYPE_CHECKING:
    import typer
    from torch import nn

    from nibblefit.ir.graph import Graph
    from nibblefit.ir.numerics import Numerics
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.plan import Plan
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Finding, Report
    from nibblefit.run import Run
    from nibblefit.training.parts import TrainingPart


class Tao:
    """NVIDIA GPUs through TensorRT, with TAO's loop of pruning and retraining before."""

    info = TargetInfo(
        name="tao",
        summary="NVIDIA TensorRT INT8, with TAO-style filter pruning and retraining",
        api=ApiVersion(1, 2),
        numerics=numerics_of(),
        options=TaoOptions,
        manual="docs/targets/tao.md",
        layer_options=LayerOptions,
        unread=frozen_mapping(
            {"prune": "this target removes whole filters: set target.threshold or target.ratio"}
        ),
    )

    @hookimpl
    def plan(self, recipe: Recipe) -> Plan:
        """Return train, prune, retrain (once, or until one is accurate enough), quantize."""
        from nibblefit_tao.plan import plan_for

        return plan_for(recipe, options_of(recipe))

    @hookimpl
    def recipe_problems(self, recipe: Recipe) -> Sequence[Finding]:
        """Return settings that cancel each other or have no effect."""
        from nibblefit_tao.advice import recipe_findings

        return recipe_findings(recipe, options_of(recipe))

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Refuse what an INT8 engine of standard layers cannot run, or pruning cannot prune."""
        from nibblefit_tao.preparing import prepare

        return prepare(run, graph)

    @hookimpl
    def network(self, run: Run, model: Model) -> nn.Module:
        """Return the float network, or in phase ``qat`` one with quantization in the loop."""
        from nibblefit_tao.qat.phase import network_of

        return network_of(run, model)

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        """Train; after quantized training the ranges it used stay with the model."""
        from nibblefit_tao.logs.of_step import write_training
        from nibblefit_tao.qat.phase import train_model

        trained = train_model(run, model)
        own = trained.history[len(model.history) :]
        if own:
            write_training(run.folder, run.step, trained.graph.name, own)
        return trained

    @hookimpl
    def regularize(self, run: Run, model: Model) -> Sequence[TrainingPart]:
        """Add L1 or L2 of the kernels; nothing in the retraining unless asked for."""
        from nibblefit_tao.regularizing import parts_for

        return parts_for(run, model)

    @hookimpl
    def prune(self, run: Run, model: Model) -> Model:
        """Remove filters by TAO's rule."""
        from nibblefit_tao.logs.of_run import ratio_figures
        from nibblefit_tao.logs.of_step import now, write_pruning
        from nibblefit_tao.pruning.stage import prune

        begun = now()
        pruned = prune(run, model)
        write_pruning(run.folder, run.step, begun, ratio_figures(pruned))
        return pruned

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Calibrate on real samples and return the integer graph."""
        from nibblefit_tao.quantizing import quantize_model

        return quantize_model(run, model)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Write QDQ ONNX, float ONNX, calibration cache, scales and commands."""
        from nibblefit_tao.writing.stage import compile_tao

        return compile_tao(run, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Read the integers from the QDQ file."""
        from nibblefit_tao.writing.stage import read_back

        return read_back(run, artifact)

    @hookimpl
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        """Measure accuracy and size."""
        from nibblefit_tao.logs.of_step import now, write_finished
        from nibblefit_tao.measuring import evaluate

        begun = now()
        report = evaluate(run, subject)
        write_finished(run.folder, run.step, begun)
        return report

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return what every layer would run as."""
        from nibblefit.defaults.inspect import inspect

        return inspect(graph, part, recipe, _numerics(options_of(recipe)))

    @hookimpl
    def add_commands(self, app: typer.Typer) -> None:
        """Register ``nibblefit tao …``."""
        from nibblefit_tao.commands import add_commands

        add_commands(app)


def _numerics(options: TaoOptions) -> Numerics:
    return numerics_of(per_channel=options.per_channel)


def options_of(recipe: Recipe | None) -> TaoOptions:
    """Return the options of a recipe, the defaults without one."""
    return TaoOptions(**((recipe.target.model_extra or {}) if recipe is not None else {}))


TARGET = Tao()
