"""Core's answer to every hook; plain functions, one module per stage, also for targets to call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nibblefit.hooks import hookimpl
from nibblefit.ir.numerics import Numerics

if TYPE_CHECKING:
    from torch import nn

    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.plan import Plan
    from nibblefit.recipe import Recipe
    from nibblefit.results import Artifact, Report
    from nibblefit.run import Run


class CoreDefaults:
    """The plugin that answers what the chosen target does not.

    Each method imports its module when it is called, so that listing plugins, reading recipes and
    walking plans stay free of torch.

    Args:
        numerics: Arithmetic of the chosen target; the stages of a target that leaves them to core
            follow it.
    """

    def __init__(self, numerics: Numerics | None = None) -> None:
        self._numerics = numerics or Numerics()

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        from nibblefit.defaults.prepare import prepare

        return prepare(run, graph, self._numerics)

    @hookimpl
    def train(self, run: Run, model: Model) -> Model:
        from nibblefit.defaults.train import train

        return train(run, model)

    @hookimpl
    def prune(self, run: Run, model: Model) -> Model:
        from nibblefit.defaults.prune import prune

        return prune(run, model)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        from nibblefit.defaults.quantize import quantize

        return quantize(run, model, self._numerics)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        from nibblefit.defaults.compiling import compile_graph

        return compile_graph(run, graph)

    @hookimpl
    def evaluate(self, run: Run, subject: Model | QuantizedGraph | Artifact) -> Report:
        from nibblefit.defaults.evaluate import evaluate

        return evaluate(run, subject)

    @hookimpl
    def plan(self, recipe: Recipe) -> Plan:
        from nibblefit.defaults.plan import plan

        return plan(recipe)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        from nibblefit.defaults.inspect import inspect

        return inspect(graph, part, recipe, self._numerics)

    @hookimpl
    def network(self, run: Run, model: Model) -> nn.Module:
        from nibblefit.defaults.network import network

        return network(run, model)

    @hookimpl
    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> nn.Module | None:
        from nibblefit.defaults.simulate import simulate

        return simulate(run, model, graph)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        from nibblefit.defaults.read_back import read_back

        return read_back(run, artifact)
