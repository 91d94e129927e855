"""Rules about names, order, attributes and shapes, the same for both kinds of graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from nibblefit.errors import GraphError
from nibblefit.fixed.operators.pooling import window_counts
from nibblefit.ir import attributes
from nibblefit.ir.attributes import window_of
from nibblefit.ir.execute import parameters_of
from nibblefit.ir.graph import Graph, Node, Shape
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.ir.rule import Finding, Rule
from nibblefit.ir.shapes import infer_shapes

AnyGraph = Graph | QuantizedGraph
AnyNode = Node | QuantizedNode


def shapes_of(graph: AnyGraph) -> dict[str, Shape]:
    """Return the declared shape of every tensor and constant."""
    if isinstance(graph, QuantizedGraph):
        return {name: tuple(tensor.shape) for name, tensor in graph.tensors.items()}
    constants = {name: constant.shape for name, constant in graph.constants.items()}
    return {**{name: tuple(shape) for name, shape in graph.shapes.items()}, **constants}


def _names(graph: AnyGraph) -> Iterator[Finding]:
    for name, count in Counter(node.name for node in graph.nodes).items():
        if count > 1:
            yield Finding(f"node '{name}'", f"{count} nodes have this name", "rename all but one")
    made = Counter([*graph.inputs, *graph.constants, *(o for n in graph.nodes for o in n.outputs)])
    for name, count in made.items():
        if count > 1:
            yield Finding(f"tensor '{name}'", f"it is made {count} times (input, constant or "
                          f"output); expected once", "rename all but one")  # fmt: skip


def _order(graph: AnyGraph) -> Iterator[Finding]:
    known = {*graph.inputs, *graph.constants}
    for node in graph.nodes:
        for name in node.inputs:
            if name not in known:
                yield Finding(f"node '{node.name}'", f"it reads '{name}', which nothing before it "
                              f"makes", "order nodes by data flow")  # fmt: skip
        known.update(node.outputs)
    for name in graph.outputs:
        if name not in known:
            yield Finding(f"output '{name}'", "no node makes it", "remove it from the outputs")


def _declared(graph: AnyGraph) -> Iterator[Finding]:
    declared = shapes_of(graph)
    made = {*graph.inputs, *graph.constants, *(o for n in graph.nodes for o in n.outputs)}
    for name in sorted(made - set(declared)):
        yield Finding(f"tensor '{name}'", "it has no declared shape", "declare it")
    for name in sorted(set(declared) - made):
        yield Finding(f"tensor '{name}'", "it is declared but nothing makes it", "remove it")
    for name in sorted(made & set(declared)):
        if name not in graph.constants and any(size < 1 for size in declared[name]):
            yield Finding(
                f"tensor '{name}'",
                f"its shape {declared[name]} has a size below 1",
                "leave the batch axis out and give every other axis its size",
            )


def _attributes(graph: AnyGraph) -> Iterator[Finding]:
    quantized = isinstance(graph, QuantizedGraph)
    table = attributes.QUANTIZED if quantized else attributes.FLOAT
    for node in graph.nodes:
        for problem in attributes.problems(node.op, node.attributes, table):
            yield Finding(_place(node), problem, "see nibblefit.ir.attributes")


def _parameters(graph: AnyGraph) -> Iterator[Finding]:
    for node in graph.nodes:
        for index in parameters_of(node.op):
            may_be_tensor = index == 2 and node.op in WEIGHTED
            if index >= len(node.inputs) or may_be_tensor:
                continue
            if node.inputs[index] not in graph.constants:
                yield Finding(
                    _place(node),
                    f"input {index} ('{node.inputs[index]}') is computed; expected a constant",
                    "use matmul or mul for computed factors",
                )
        if node.inputs and node.op in WEIGHTED and node.inputs[0] in graph.constants:
            yield Finding(_place(node), "it reads no tensor, only constants", "fold it")


def _shapes(graph: AnyGraph) -> Iterator[Finding]:
    declared = shapes_of(graph)
    for node in graph.nodes:
        try:
            inferred = infer_shapes(node.op, node.attributes, [declared[n] for n in node.inputs])
        except GraphError as error:
            yield Finding(_place(node), error.what, error.hint)
            continue
        if len(inferred) != len(node.outputs):
            yield Finding(_place(node), f"it has {len(node.outputs)} outputs; expected "
                          f"{len(inferred)}", "name every output")  # fmt: skip
            continue
        for name, shape in zip(node.outputs, inferred, strict=True):
            if declared[name] != shape:
                yield Finding(_place(node), f"'{name}' is declared as {declared[name]}; its inputs "
                              f"make {shape}", "declare the inferred shape")  # fmt: skip
        yield from _full_windows(node, declared)


def _full_windows(node: AnyNode, declared: Mapping[str, Shape]) -> Iterator[Finding]:
    if node.op not in (Op.MAX_POOL, Op.AVG_POOL):
        return
    window = window_of(node.attributes, tuple(node.attributes["kernel"]))
    if window_counts(declared[node.inputs[0]][1:], window, False).min() < 1:
        yield Finding(_place(node), "a window sees padding only", "reduce pads or dilation")


def _place(node: AnyNode) -> str:
    return f"node '{node.name}' ({node.op.value})"


RULES: tuple[Rule, ...] = (
    Rule("names.unique", "Every node and every tensor has one name of its own.", _names),
    Rule("order.topological", "A node reads only what comes before it.", _order),
    Rule("tensors.declared", "Every tensor has a shape, and nothing else has.", _declared),
    Rule("attributes.valid", "Attributes have the operator's keys and kinds.", _attributes),
    Rule("parameters.constant", "Weights and tables are constants.", _parameters),
    Rule(
        "shapes.consistent", "Declared shapes follow from the inputs.", _shapes,
        ("order.topological", "tensors.declared", "attributes.valid"),
    ),
)  # fmt: skip
