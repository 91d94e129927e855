"""The target object. Heavy imports wait for their hook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nibblefit.hooks import ApiVersion, TargetInfo, hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.configuration.layer_options import LayerOptions
from nibblefit_vitis.numerics import DPU_NUMERICS
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.parts import PARTS

if TYPE_CHECKING:
    import typer
    from torch import nn

    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.plan import Plan
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Finding, Report
    from nibblefit.run import Run
    from nibblefit.training.parts import TrainingPart


class Vitis:
    """AMD's DPUs: calibrated as Vitis AI does it, or trained quantized."""

    info = TargetInfo(
        name="vitis",
        summary="AMD DPUs on KV260, ZCU102, ZCU104 and others: Vitis-AI-style quantization, xmodel",
        api=ApiVersion(1, 2),
        numerics=DPU_NUMERICS,
        options=VitisOptions,
        parts=PARTS,
        manual="docs/targets/vitis.md",
        layer_options=LayerOptions,
        unread=frozen_mapping(
            {
                f"quantize.{key}": f"set {ours} in [target.settings], below "
                "overall_quantize_config, or in [quantize.layers]"
                for key, ours in (("method", "method"), ("percentile", "percentage"))
            }
        ),
    )

    @hookimpl
    def plan(self, recipe: Recipe) -> Plan:
        """Return prepare, float training, QAT if asked for, quantize, evaluate, compile."""
        from nibblefit_vitis.plan import plan_for

        return plan_for(recipe, options_of(recipe))

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Check the configuration, and refuse layers that have no integer form."""
        from nibblefit_vitis.quantize.stage import prepare_model

        return prepare_model(run, graph)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return where every layer runs, on DPU or CPU, and why."""
        from nibblefit_vitis.network.support import inspect

        return inspect(graph, part, recipe)

    @hookimpl
    def recipe_problems(self, recipe: Recipe) -> Sequence[Finding]:
        """Return what the recipe asks for and this target does not have."""
        from nibblefit_vitis.network.advice import recipe_findings

        return recipe_findings(recipe, options_of(recipe))

    @hookimpl
    def network(self, run: Run, model: Model) -> nn.Module:
        """Return the float network, or in phase ``qat`` one with trained thresholds."""
        from nibblefit_vitis.network.phase import network_of

        return network_of(run, model)

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        """Train; after quantized training its thresholds stay with the model."""
        from nibblefit_vitis.network.phase import train_model

        return train_model(run, model)

    @hookimpl
    def regularize(self, run: Run, model: Model) -> Sequence[TrainingPart]:
        """Add the schedule of quantized training in its phase."""
        from nibblefit_vitis.network.phase import parts_for

        return parts_for(run, model)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Prepare, calibrate, correct, align, and lower to integers."""
        from nibblefit_vitis.quantize.stage import quantize_model

        return quantize_model(run, model)

    @hookimpl
    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> nn.Module:
        """Return what quantized training computed, or core's twin for other networks."""
        from nibblefit_vitis.network.phase import simulation_for

        return simulation_for(run, model, graph)

    @hookimpl
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        """Measure; integers are compared with the prepared float network, tensor by tensor."""
        from nibblefit_vitis.quantize.measuring import evaluate

        return evaluate(run, subject)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Write xmodel, quant_info.json, ONNX, arch.json, the compiler's command and a summary."""
        from nibblefit_vitis.files import write_files

        return write_files(run, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Read the files again and return the integers they state."""
        from nibblefit_vitis.files import read_files

        return read_files(run, artifact)

    @hookimpl
    def add_commands(self, app: typer.Typer) -> None:
        """Register ``nibblefit vitis …``."""
        from nibblefit_vitis.commands import add_commands

        add_commands(app)


def options_of(recipe: Recipe | None) -> VitisOptions:
    """Return the options of a recipe, the defaults without one."""
    return VitisOptions(**((recipe.target.model_extra or {}) if recipe is not None else {}))


TARGET = Vitis()
