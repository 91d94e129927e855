"""Toy targets, each correct but for one fault, and the check that must catch it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from nibblefit_toychip import ToyChip
from nibblefit_toychip.files import MEMORY
from pydantic import BaseModel, ConfigDict

from nibblefit.errors import UnsupportedError
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
from nibblefit.hooks import ApiVersion, hookimpl
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedTensor
from nibblefit.models import Model
from nibblefit.plan import Gate, Plan, Stage, Step
from nibblefit.results import Artifact, Report
from nibblefit.run import Run


def edit_nodes(graph: QuantizedGraph, edit: Any) -> QuantizedGraph:
    """Return the graph with `edit` applied to every convolution and linear node."""
    return graph.with_nodes(*(edit(n) if n.op in WEIGHTED else n for n in graph.nodes))


class ForgotReturn(ToyChip):
    """quantize ends without a return statement."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> Any:
        super().quantize(run, model)


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


class ChangesItsInput(ToyChip):
    """Scales the weights of the model it was given."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        for value in model.graph.constants.values():
            if value.flags.writeable:
                np.multiply(value, 0.5, out=value)
        return super().quantize(run, model)


class WrongWeightOrder(ToyChip):
    """Writes the weight memory back to front."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        artifact = super().compile(run, graph)
        return rewritten(artifact, run.folder, lambda b: np.frombuffer(b, "<i4")[::-1].tobytes())


def rewritten(artifact: Artifact, folder: Path, edit: Any) -> Artifact:
    """Return the artifact after editing its weight file, with digests that fit."""
    import hashlib

    content = edit((folder / MEMORY).read_bytes())
    (folder / MEMORY).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    files = tuple(replace(f, sha256=digest) if f.role == "weights" else f for f in artifact.files)
    return replace(artifact, files=files)


class Wraps(ToyChip):
    """Wraps where it should saturate."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        def edit(node: Any) -> Any:
            steps = tuple(Wrap(8) if isinstance(s, Clamp) else s for s in node.steps)
            return replace(node, steps=steps)

        return edit_nodes(super().quantize(run, model), edit)


class UnstableFile(ToyChip):
    """Appends a counter to a file, as others append a time."""

    written = 0

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        artifact = super().compile(run, graph)
        UnstableFile.written += 4
        return rewritten(artifact, run.folder, lambda b: b + bytes(UnstableFile.written))


class AcceptsEverything(ToyChip):
    """Swallows the refusal of unsupported layers."""

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        return Model(graph=graph)


class InspectRaises(ToyChip):
    """Raises where inspect should answer."""

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: object) -> Report:
        if self.problems(graph):
            raise ValueError("cannot inspect this")
        return super().inspect(graph, part, recipe)


class NarrowAccumulator(ToyChip):
    """Promises an accumulator that is too narrow for its sums."""

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        return edit_nodes(graph, lambda n: replace(n, accumulator=Accumulator(12)))


class OtherName(ToyChip):
    """Needs a contract newer than the host's."""

    info = replace(ToyChip.info, api=ApiVersion(1, 99))


class MisspeltHook(ToyChip):
    """Marks a method that is no hook."""

    @hookimpl
    def quantise(self, run: Run, model: Model) -> QuantizedGraph:
        return super().quantize(run, model)


class BareOptions(BaseModel):
    """An option nobody explains."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    calibration: int = 16


class SilentOptions(ToyChip):
    """Options without descriptions."""

    info = replace(ToyChip.info, options=BareOptions)


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


class Unrepeatable(ToyChip):
    """Takes its random numbers from nowhere."""

    calls = 0

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        graph = super().quantize(run, model)
        Unrepeatable.calls += 1
        metadata = {**graph.metadata, "lucky_number": Unrepeatable.calls}
        return replace(graph, metadata=frozen_mapping(metadata))


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


def frozen(value: Any) -> Any:
    """Return a read-only copy."""
    value = value.copy()
    value.flags.writeable = False
    return value


class WrongDigest(ToyChip):
    """States a digest that its file does not have."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        artifact = super().compile(run, graph)
        first, *rest = artifact.files
        return replace(artifact, files=(replace(first, sha256="0" * 64), *rest))


class UnlistedFile(ToyChip):
    """Leaves a file lying about that it does not list."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        (run.folder / "notes.tmp").write_text("remember the milk")
        return super().compile(run, graph)


class BrokenPlan(ToyChip):
    """Its plan refers to a step that does not exist."""

    @hookimpl
    def plan(self, recipe: Any) -> Plan:
        return (Step(Stage.PREPARE, "prepare"), Gate("floor", "nowhere", "top1", at_least=0.5))


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


class RefusesItsOwn(ToyChip):
    """Refuses an operator that it declares."""

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        if any(n.op is Op.RELU for n in graph.nodes):
            raise UnsupportedError("layer 'relu' is not welcome", hint="use something else")
        return super().prepare(run, graph)


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


class RefusesInCompile(ToyChip):
    """Refuses every network at the last moment, without a remedy."""

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        raise UnsupportedError("this network does not compile")


class TellsTheTime(ToyChip):
    """Puts the time into its report."""

    @hookimpl
    def evaluate(self, run: Run, subject: Any) -> Report:
        return Report("toy", metrics=frozen_mapping({"top1": 1.0, "at": time.perf_counter()}))


class TooMuchDeclared(ToyChip):
    """Declares an operator that its quantizer does not know."""

    info = replace(
        ToyChip.info,
        numerics=replace(
            ToyChip.info.numerics, operators=ToyChip.info.numerics.operators | {Op.ABS}
        ),
    )

    def problems(self, graph: Graph) -> list[Any]:
        return [p for p in super().problems(graph) if graph.node(p.where).op is not Op.ABS]


#: Faulty target → the check that must fail. Checks that build on it are blocked, nothing else
#: may fail.
FAULTS: dict[type[ToyChip], str] = {
    ForgotReturn: "stages.quantize",
    RoundsOtherwise: "numerics.rounding",
    ChangesItsInput: "stages.inputs_unchanged",
    WrongWeightOrder: "artifact.read_back",
    Wraps: "numerics.overflow",
    UnstableFile: "artifact.deterministic",
    AcceptsEverything: "errors.unsupported",
    InspectRaises: "errors.inspect",
    NarrowAccumulator: "stages.quantize",
    OtherName: "contract.info",
    MisspeltHook: "contract.hooks",
    SilentOptions: "contract.options",
    PerChannelUndeclared: "numerics.formats",
    Unrepeatable: "stages.repeatable",
    ForgetsBias: "exact.meaning",
    WrongDigest: "artifact.digests",
    UnlistedFile: "artifact.digests",
    BrokenPlan: "contract.plan",
    WrongSimulation: "exact.simulation",
    OtherTarget: "graph.target",
    RenamesLayers: "graph.layers",
    TooMuchDeclared: "stages.quantize",
    RefusesItsOwn: "stages.prepare",
    PoolsOtherwise: "numerics.pooling",
    SecretlyFloat: "numerics.requantization",
    RefusesInCompile: "artifact.compile",
    TellsTheTime: "resume.reuse",
}
