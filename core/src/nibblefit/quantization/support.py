"""What a target can run of a float graph, with reason and remedy where it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.quantization.fold import fold
from nibblefit.quantization.lowering import LOWER
from nibblefit.quantization.units import units


class Verdict(StrEnum):
    """What happens to one float node."""

    RUNS = "runs"  #: on the accelerator
    HOST = "host"  #: on the host processor
    FOLDED = "folded"  #: becomes part of another layer, or vanishes
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Support:
    """The verdict on one float node.

    Attributes:
        runs_as: The layer it becomes or joins, such as ``conv1 (conv + relu)``.
        reason: Why it is refused; empty otherwise.
        remedy: What to do about it.
    """

    node: Node
    verdict: Verdict
    runs_as: str = ""
    reason: str = ""
    remedy: str = ""


#: Operators that can stand in for another, nearest first.
_NEAREST: Mapping[Op, tuple[Op, ...]] = {
    Op.SIGMOID: (Op.HARD_SIGMOID, Op.CLIP),
    Op.TANH: (Op.CLIP,),
    Op.HARD_SIGMOID: (Op.SIGMOID, Op.CLIP),
    Op.HARD_SWISH: (Op.LEAKY_RELU, Op.RELU),
    Op.PRELU: (Op.LEAKY_RELU, Op.RELU),
    Op.LEAKY_RELU: (Op.PRELU, Op.RELU),
    Op.CLIP: (Op.RELU,),
    Op.ABS: (Op.RELU,),
    Op.AVG_POOL: (Op.GLOBAL_AVG_POOL, Op.CONV, Op.MAX_POOL),
    Op.GLOBAL_AVG_POOL: (Op.AVG_POOL, Op.GLOBAL_MAX_POOL),
    Op.GLOBAL_MAX_POOL: (Op.MAX_POOL,),
    Op.MAX_POOL: (Op.AVG_POOL,),
    Op.CONV_TRANSPOSE: (Op.RESIZE_NEAREST, Op.PIXEL_SHUFFLE),
    Op.RESIZE_BILINEAR: (Op.RESIZE_NEAREST, Op.CONV_TRANSPOSE),
    Op.RESIZE_NEAREST: (Op.CONV_TRANSPOSE,),
    Op.PIXEL_SHUFFLE: (Op.CONV_TRANSPOSE, Op.RESIZE_NEAREST),
    Op.LINEAR: (Op.CONV,),
    Op.MATMUL: (Op.LINEAR,),
    Op.SCALE_OFFSET: (Op.CONV,),
    Op.MUL: (Op.ADD, Op.CONV),
    Op.SUB: (Op.ADD,),
    Op.CONCAT: (Op.ADD,),
    Op.PAD: (Op.CONV,),
}
_ADVICE: Mapping[Op, str] = {
    Op.SOFTMAX: "leave it out: the largest output stays the largest; apply softmax after the chip",
    Op.ARGMAX: "leave it out and take the largest output after the chip",
    Op.BATCH_NORM: "put it right behind a convolution or linear layer, where it folds away",
}


def support(graph: Graph, numerics: Numerics) -> list[Support]:
    """Return one verdict per node of a float graph, in order."""
    folded = fold(graph)
    kept = {node.name: node for node in folded.nodes}
    joined = _layers(folded, numerics)
    return [_verdict(graph, node, kept.get(node.name), joined, numerics) for node in graph.nodes]


def refuse_unsupported(graph: Graph, numerics: Numerics, target: str) -> None:
    """Raise UnsupportedError with every node the target cannot run, reason and remedy."""
    refused = [found for found in support(graph, numerics) if found.verdict is Verdict.REFUSED]
    if refused:
        lines = "".join(
            f"\n  • layer '{found.node.name}' ({found.node.op.value}): {found.reason}"
            f"\n    → {found.remedy}"
            for found in refused
        )
        count = "1 layer" if len(refused) == 1 else f"{len(refused)} layers"
        raise UnsupportedError(f"target '{target}' cannot run {count} of this network{lines}")


def _layers(folded: Graph, numerics: Numerics) -> dict[str, str]:
    """Map every node of the folded graph to the layer it runs in, with its operators."""
    groups: dict[str, list[Node]] = {}
    for unit in units(folded, numerics):
        groups.setdefault(unit.layer, []).extend((unit.node, *unit.rectifiers))
    return {
        node.name: f"{layer} ({' + '.join(n.op.value for n in nodes)})"
        for layer, nodes in groups.items()
        for node in nodes
    }


def _verdict(graph: Graph, node: Node, kept: Node | None, joined: Mapping[str, str],
             numerics: Numerics) -> Support:  # fmt: skip
    if kept is None:
        gone = "removed" if node.op in (Op.DROPOUT, Op.IDENTITY) else "folded into the layer before"
        return Support(node, Verdict.FOLDED, gone)
    if kept.op in numerics.operators or kept.op is Op.IDENTITY:
        problem = _problem(graph, kept)
        if problem:
            return Support(node, Verdict.REFUSED, reason=problem[0], remedy=problem[1])
        return Support(node, Verdict.RUNS, joined[node.name])
    if kept.op in numerics.host_operators:
        return Support(node, Verdict.HOST, joined[node.name])
    reason = f"the target has no {kept.op.value}"
    if node.op is Op.BATCH_NORM:
        reason = "it follows no layer it could fold into, and the target has no scale_offset"
    return Support(node, Verdict.REFUSED, reason=reason, remedy=_remedy(node.op, numerics))


def _remedy(op: Op, numerics: Numerics) -> str:
    if op in _ADVICE:
        return _ADVICE[op]
    near = [other.value for other in _NEAREST.get(op, ()) if other in numerics.operators]
    if near:
        return f"use {near[0]} instead"
    known = sorted(other.value for other in numerics.operators)
    return f"use one of: {', '.join(known)}" if known else "choose another target"


def _problem(graph: Graph, kept: Node) -> Sequence[str]:
    """Return reason and remedy where the quantizer itself has no way; empty otherwise."""
    if kept.op not in LOWER:
        return f"{kept.op.value} has no integer form in this quantizer", "use another operator"
    parameters = kept.inputs[1:2] if kept.op in WEIGHTED | {Op.PRELU, Op.SCALE_OFFSET} else ()
    computed = [name for name in parameters if name in graph.shapes]
    if computed:
        return (f"its weights '{computed[0]}' are computed by another layer",
                "use constant weights, or matmul for products of two tensors")  # fmt: skip
    return ()
