"""The target object: a frozen description and four hooks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.hooks import ApiVersion, TargetInfo, hookimpl
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.numerics import BiasRule, Numerics, RequantRule, TensorRule
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.results import Artifact, Finding, Report, Status
from nibblefit.run import Run
from nibblefit_toychip.files import read_files, write_files
from nibblefit_toychip.quantize import quantize_graph

NUMERICS = Numerics(
    inputs=TensorRule(rounding=Rounding.HALF_UP),
    activations=TensorRule(rounding=Rounding.HALF_UP),
    weights=TensorRule(rounding=Rounding.HALF_UP),
    bias=BiasRule(bits=32, rounding=Rounding.HALF_UP),
    accumulator=Accumulator(32),
    requant=RequantRule(rounding=Rounding.HALF_UP, shift_range=(0, 31)),
    pooling=Rounding.FLOOR,
    operators=frozenset(
        {Op.CONV, Op.LINEAR, Op.RELU, Op.MAX_POOL, Op.AVG_POOL, Op.ADD, Op.FLATTEN}
    ),
    sources=frozen_mapping({"*": "invented for this example"}),
)


class ToyOptions(BaseModel):
    """The recipe's [target] table for this chip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calibration: int = Field(default=16, gt=0, description="Samples that set the ranges.")


class ToyChip:
    """The smallest target that keeps every promise of the contract."""

    info = TargetInfo(
        name="toychip",
        summary="An invented int8 chip with one shift per layer",
        api=ApiVersion(1, 2),
        numerics=NUMERICS,
        options=ToyOptions,
        manual="https://example.invalid/toychip",
        unread=frozen_mapping(
            {
                "quantize": "ranges are extremes over target.calibration samples",
                "calibration": "the chip calibrates on training samples",
            }
        ),
    )

    def problems(self, graph: Graph) -> list[Finding]:
        """Return one finding per layer that the chip cannot run."""
        return [
            Finding(
                rule="toychip.operator",
                status=Status.FAILED,
                message=f"layer '{node.name}' is a {node.op.value}, which the toy chip lacks",
                where=node.name,
                hint="use convolution, linear, ReLU, max or average pool, or add",
            )
            for node in graph.nodes
            if node.op not in NUMERICS.operators
        ]

    @hookimpl
    def prepare(self, run: Run, graph: Graph) -> Model:
        """Refuse what the chip lacks; otherwise pass the network on unchanged."""
        problems = self.problems(graph)
        if problems:
            raise UnsupportedError("; ".join(p.message for p in problems), hint=problems[0].hint)
        return Model(graph=graph)

    @hookimpl
    def inspect(self, graph: Graph, part: str, recipe: object) -> Report:
        """Return the same verdict as `prepare`, as findings."""
        bad = {p.where: p for p in self.problems(graph)}
        findings = tuple(
            bad.get(n.name)
            or Finding("toychip.operator", Status.PASSED, f"{n.name} runs as {n.op}", n.name)
            for n in graph.nodes
        )
        return Report(subject="inspection", findings=findings)

    @hookimpl
    def quantize(self, run: Run, model: Model) -> QuantizedGraph:
        """Measure ranges on a few samples, then build the integer graph."""
        return quantize_graph(model.graph, run.data, run.options.calibration, self.info)

    @hookimpl
    def compile(self, run: Run, graph: QuantizedGraph) -> Artifact:
        """Write the chip's two files."""
        return write_files(graph, run.folder, self.info.name)

    @hookimpl
    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Parse the chip's two files."""
        return read_files(run.folder, self.info.name)
