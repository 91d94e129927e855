"""Toy targets whose integers differ from what they declare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from nibblefit_toychip import ToyChip

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import (
    Clamp,
    Divide,
    MulFloat32,
    RoundFloat32,
    ShiftRight,
    Wrap,
    float_param,
)
from nibblefit.hooks import hookimpl
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedTensor
from nibblefit.models import Model
from nibblefit.results import Artifact
from nibblefit.run import Run


def edit_nodes(graph: QuantizedGraph, edit: Any) -> QuantizedGraph:
    """Return the graph with `edit` applied to every convolution and linear node."""
    return graph.with_nodes(*(edit(n) if n.op in WEIGHTED else n for n in graph.nodes))


def frozen(value: Any) -> Any:
    """Return a read-only copy."""
    value = value.copy()
    value.flags.writeable = False
    return value


class RoundsOtherwise(ToyChip):
    """Rounds half to even but declares half up."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        def edit(node: Any) -> Any:
            steps = tuple(
                ShiftRight(s.bits, Rounding.HALF_EVEN) if isinstance(s, ShiftRight) else s
                for s in node.steps
            )
            return replace(node, steps=steps)

        return edit_nodes(super().quantize(run, model), edit)


class PoolsOtherwise(ToyChip):
    """Rounds average pools down but declares half up."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        nodes = [
            replace(n, steps=(Divide(4, Rounding.TOWARD_ZERO), Clamp(-128, 127)))
            if n.op is Op.AVG_POOL
            else n
            for n in graph.nodes
        ]
        return graph.with_nodes(*nodes)


class Wraps(ToyChip):
    """Wraps where it should saturate."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        def edit(node: Any) -> Any:
            steps = tuple(Wrap(8) if isinstance(s, Clamp) else s for s in node.steps)
            return replace(node, steps=steps)

        return edit_nodes(super().quantize(run, model), edit)


class NarrowAccumulator(ToyChip):
    """Promises an accumulator that is too narrow for its sums."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        return edit_nodes(graph, lambda n: replace(n, accumulator=Accumulator(12)))


class PerChannelUndeclared(ToyChip):
    """Gives weights one scale per channel but declares one per tensor; its files hide it."""

    honest: ClassVar[dict[str, QuantizedGraph]] = {}

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        return super().compile(run, self.honest[graph.name])

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        self.honest[graph.name] = graph
        tensors = dict(graph.tensors)
        for node in graph.nodes:
            if node.op in WEIGHTED:
                old = tensors[node.inputs[1]]
                frac = old.format.scale.frac or (0,)
                count = old.shape[0]
                fmt = Format(8, True, Scale.power_of_two(*frac * count), (0,) * count, axis=0)
                tensors[old.name] = QuantizedTensor(old.name, old.shape, fmt)
        return replace(graph, tensors=frozen_mapping(tensors))


class SecretlyFloat(ToyChip):
    """Requantizes in float32 where a shift is declared, and hides it from its files."""

    shifts: ClassVar[dict[str, QuantizedGraph]] = {}

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        honest = super().quantize(run, model)

        def edit(node: Any) -> Any:
            steps: list[Any] = []
            for s in node.steps:
                if isinstance(s, ShiftRight):
                    steps += [MulFloat32(float_param(2.0**-s.bits)), RoundFloat32(s.rounding)]
                else:
                    steps.append(s)
            return replace(node, steps=tuple(steps))

        self.shifts[honest.name] = honest
        return edit_nodes(honest, edit)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        return super().compile(run, self.shifts[graph.name])


class ForgetsBias(ToyChip):
    """Loses every bias and half of every weight on the way to integers."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        constants = {
            name: frozen(value >> 1 if value.ndim > 1 else value * 0)
            for name, value in graph.constants.items()
        }
        return replace(graph, constants=frozen_mapping(constants))


class Simulation:
    """A simulation that is one code off at the output."""

    def __init__(self, graph: QuantizedGraph) -> None:
        self.graph = graph

    def __call__(self, *codes: Any) -> dict[str, Any]:
        from nibblefit.ir.reference import run as judge

        inputs = {n: c.numpy() for n, c in zip(self.graph.inputs, codes, strict=True)}
        tensors = dict(judge(self.graph, inputs).tensors)
        last = self.graph.outputs[0]
        tensors[last] = tensors[last] + 1
        return tensors


class WrongSimulation(ToyChip):
    """Its training simulates other integers than its graph."""

    @hookimpl
    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> Any:
        return Simulation(graph)
