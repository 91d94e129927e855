"""Toy targets whose stages misbehave whatever the integers are."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from nibblefit_toychip import ToyChip

from nibblefit.errors import UnsupportedError
from nibblefit.hooks import hookimpl
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Report
from nibblefit.run import Run


class ForgotReturn(ToyChip):
    """quantize ends without a return statement."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> Any:
        super().quantize(run, model)


class ChangesItsInput(ToyChip):
    """Scales the weights of the model it was given."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        for value in model.graph.constants.values():
            if value.flags.writeable:
                np.multiply(value, 0.5, out=value)
        return super().quantize(run, model)


class AcceptsEverything(ToyChip):
    """Swallows the refusal of unsupported layers."""

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        return Model(graph=graph)


class RefusesItsOwn(ToyChip):
    """Refuses an operator that it declares."""

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        if any(n.op is Op.RELU for n in graph.nodes):
            raise UnsupportedError("layer 'relu' is not welcome", hint="use something else")
        return super().prepare(run, graph)


class InspectRaises(ToyChip):
    """Raises where inspect should answer."""

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: object) -> Report:
        if self.problems(graph):
            raise ValueError("cannot inspect this")
        return super().inspect(graph, part, recipe)


class Unrepeatable(ToyChip):
    """Takes its random numbers from nowhere."""

    calls = 0

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        Unrepeatable.calls += 1
        metadata = {**graph.metadata, "lucky_number": Unrepeatable.calls}
        return replace(graph, metadata=frozen_mapping(metadata))


class OtherTarget(ToyChip):
    """Labels its graphs with another target's name."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        return replace(super().quantize(run, model), target="somebody else")


class RenamesLayers(ToyChip):
    """Loses the way back from integer nodes to the user's layers."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        nodes = [
            replace(n, name=f"op{i}", layer=f"op{i}", source="") for i, n in enumerate(graph.nodes)
        ]
        return graph.with_nodes(*nodes)


class TellsTheTime(ToyChip):
    """Puts the time into its report."""

    @hookimpl
    def evaluate(self, run: Run, subject: Any) -> Report:
        return Report("toy", metrics=frozen_mapping({"top1": 1.0, "at": time.perf_counter()}))
