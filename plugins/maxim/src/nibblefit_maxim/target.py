"""The target object: what it is, and one method per hook. Heavy imports wait for their hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nibblefit.hooks import ApiVersion, TargetInfo, hookimpl
from nibblefit_maxim.idle import UNREAD
from nibblefit_maxim.numerics import INPUT_RANGE, NUMERICS
from nibblefit_maxim.options import LayerOptions, MaximOptions
from nibblefit_maxim.parts import PARTS, part_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer
    from torch import nn

    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.plan import Plan
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Finding, Report
    from nibblefit.run import Run


class MaximTarget:
    """MAX78000 and MAX78002: convolution accelerators with 8-bit data and power-of-two scales."""

    info = TargetInfo(
        name="maxim",
        summary="MAX78000 and MAX78002: training in the chip's arithmetic, planned memory, "
        "vendor files",
        api=ApiVersion(1, 2),
        numerics=NUMERICS,
        options=MaximOptions,
        parts=tuple(PARTS),
        manual="docs/targets/maxim.md",
        input_range=INPUT_RANGE,
        layer_options=LayerOptions,
        unread=UNREAD,
    )

    @hookimpl
    def plan(self, recipe: Recipe) -> Plan:
        """Return prepare, float training, QAT, quantize, evaluate, compile, with the gates."""
        from nibblefit_maxim.plan import plan_for

        return plan_for(recipe, _options(recipe))

    @hookimpl
    def recipe_problems(self, recipe: Recipe) -> Sequence[Finding]:
        """Return settings that do not go together, and those that nothing reads."""
        from nibblefit_maxim.idle import idle_keys
        from nibblefit_maxim.plan import plan_problems

        options = _options(recipe)
        return (*plan_problems(recipe, options), *idle_keys(recipe, options))

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Refuse layers the hardware lacks and memory it does not have; change nothing."""
        from nibblefit_maxim.preparation import prepare_model

        return prepare_model(run, graph)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return what every layer would run as, or why not, and the memory plan."""
        from nibblefit_maxim.inspection import inspect_graph

        options = _options(recipe) if recipe is not None else MaximOptions()
        overrides = recipe.quantize.layers if recipe is not None else {}
        return inspect_graph(graph, part_named(part), options, overrides)

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        """Train, or search weight widths; quantized training starts by folding and measuring."""
        from nibblefit_maxim.qat.training import train_model

        return train_model(run, model)

    @hookimpl
    def network(self, run: Run, model: Model) -> nn.Module:
        """Return the plain float network, or, once started, the accelerator's own arithmetic."""
        from nibblefit_maxim.execution import network_of

        return network_of(run, model)

    @hookimpl
    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> nn.Module:
        """Return the training network as a simulation of the integer graph."""
        from nibblefit_maxim.execution import simulation_of

        return simulation_of(run, model, graph)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Choose codes and shifts by the vendor's formulas."""
        from nibblefit_maxim.execution import quantize_model

        return quantize_model(run, model)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Plan the memory and write YAML, checkpoint, sample and README."""
        from nibblefit_maxim.files import write_files

        return write_files(run, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Parse YAML and checkpoint into a graph."""
        from nibblefit_maxim.files import read_files_back

        return read_files_back(run, artifact)

    @hookimpl
    def add_commands(self, app: typer.Typer) -> None:
        """Add `lint` and `import`."""
        from nibblefit_maxim.commands import add_commands

        add_commands(app)


def _options(recipe: Recipe) -> MaximOptions:
    return MaximOptions(**(recipe.target.model_extra or {}))


TARGET = MaximTarget()
