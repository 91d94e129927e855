"""Family ``numerics``: the graph does what the target's declaration says."""

from __future__ import annotations

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, CheckSkip, check
from nibblefit.fixed.formats import Overflow
from nibblefit.fixed.steps import (
    Clamp,
    Divide,
    MulFloat32,
    RoundFloat32,
    ShiftRight,
    Wrap,
)
from nibblefit.ir.numerics import Requantization, ScaleKind, Signedness, TensorRule
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.quantized import Placement, QuantizedGraph, QuantizedNode, QuantizedTensor


def _weighted(graph: QuantizedGraph) -> list[QuantizedNode]:
    return [n for n in graph.nodes if n.op in WEIGHTED and n.placement is Placement.ACCELERATOR]


@check(
    "numerics.rounding",
    why="rounding decides bits: half-up and half-even differ on a quarter of all codes after "
    "one shift",
    how="declare the rounding you use in info.numerics.requant, and use the one you declare",
    needs=("stages.quantize",),
)
def rounding(bench: Bench) -> None:
    """Requantization of weighted layers rounds as declared."""
    declared = bench.numerics.requant.rounding
    seen = 0
    for case, graph in bench.all_quantized():
        for node in _weighted(graph):
            for step in node.steps:
                if isinstance(step, ShiftRight | RoundFloat32 | Divide):
                    seen += 1
                    if step.rounding is not declared:
                        raise CheckFailure(
                            f"layer '{node.name}' of network '{case}' rounds {step.rounding}, "
                            f"declared is {declared}"
                        )
    if not seen:
        raise CheckSkip("no weighted layer of any case rounds")


@check(
    "numerics.pooling",
    why="average pools round too, and often otherwise than convolutions",
    how="declare info.numerics.pooling as the hardware does it",
    needs=("stages.quantize",),
)
def pooling(bench: Bench) -> None:
    """Average pools round as declared."""
    declared = bench.numerics.pooling
    nodes = [
        node
        for _, graph in bench.all_quantized()
        for node in graph.nodes
        if node.op in {Op.AVG_POOL, Op.GLOBAL_AVG_POOL}
    ]
    if not nodes:
        raise CheckSkip("the target declares no average pool")
    for node in nodes:
        for step in node.steps:
            if isinstance(step, Divide | ShiftRight) and step.rounding is not declared:
                raise CheckFailure(
                    f"pool '{node.name}' rounds {step.rounding}, declared is {declared}"
                )


@check(
    "numerics.requantization",
    why="reports and estimates rely on the declared kind of requantization",
    how="declare info.numerics.requant.kind as what your steps really do",
    needs=("stages.quantize",),
)
def requantization(bench: Bench) -> None:
    """Float scales appear only where float scales are declared."""
    kind = bench.numerics.requant.kind
    for case, graph in bench.all_quantized():
        for node in _weighted(graph):
            floats = any(isinstance(s, MulFloat32 | RoundFloat32) for s in node.steps)
            if floats and kind is not Requantization.FLOAT32:
                raise CheckFailure(
                    f"layer '{node.name}' of network '{case}' computes in float32, "
                    f"declared is {kind}"
                )


@check(
    "numerics.overflow",
    why="a value that wraps where saturation was meant turns white into black",
    how="end every narrowing with a Clamp to the output format; wrap only if you declare WRAP",
    needs=("stages.quantize",),
)
def overflow(bench: Bench) -> None:
    """Outputs are narrowed by clamping, unless wrapping is declared."""
    if bench.numerics.accumulator.overflow is Overflow.WRAP:
        raise CheckSkip("the target declares wrapping arithmetic")
    for case, graph in bench.all_quantized():
        for node in _weighted(graph):
            if any(isinstance(s, Wrap) for s in node.steps):
                raise CheckFailure(f"layer '{node.name}' of network '{case}' wraps")
            narrow = graph.tensors[node.output].format.bits <= 16
            if narrow and not any(isinstance(s, Clamp) for s in node.steps):
                raise CheckFailure(f"layer '{node.name}' of network '{case}' never saturates")


def _breaks(rule: TensorRule, tensor: QuantizedTensor) -> str:
    """Return what a tensor's format does against a rule, or an empty string."""
    fmt = tensor.format
    if fmt.bits not in rule.bits:
        return f"has {fmt.bits} bits, declared are {rule.bits}"
    if rule.signedness is Signedness.SIGNED and not fmt.signed:
        return "is unsigned, declared is signed"
    if rule.signedness is Signedness.UNSIGNED and fmt.signed:
        return "is signed, declared is unsigned"
    if rule.symmetric and any(fmt.zero_point):
        return "has a zero point, declared is symmetric"
    if rule.scale is ScaleKind.POWER_OF_TWO and not fmt.scale.is_power_of_two:
        return "has a real scale, declared are powers of two"
    if not rule.per_channel and len(fmt.scale) > 1:
        return "has one scale per channel, declared is one per tensor"
    return ""


@check(
    "numerics.formats",
    why="the declared formats are what users and the support table read",
    how="declare every width, sign, scale kind and granularity that your graphs use",
    needs=("stages.quantize",),
)
def formats(bench: Bench) -> None:
    """Inputs and weights have formats that the declaration allows."""
    numerics = bench.numerics
    for case, graph in bench.all_quantized():
        wanted = [(name, numerics.inputs, "input") for name in graph.inputs]
        wanted += [
            (node.inputs[1], numerics.weights, "weights of")
            for node in _weighted(graph)
            if node.inputs[1] in graph.constants
        ]
        for name, rule, what in wanted:
            problem = _breaks(rule, graph.tensors[name])
            if problem:
                raise CheckFailure(f"{what} '{name}' of network '{case}' {problem}")
