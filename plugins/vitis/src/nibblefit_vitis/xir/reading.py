"""`read_xmodel`: the bytes of an ``.xmodel`` file to XIR values, checked field by field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError, unreadable
from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.xir.attribute_reading import read_attribute
from nibblefit_vitis.xir.graph import (
    Attribute,
    Definition,
    XirGraph,
    XirOperator,
    XirSubgraph,
    XirTensor,
)
from nibblefit_vitis.xir.ordering import in_order
from nibblefit_vitis.xir.wire import Field, Span

#: Subgraphs within subgraphs; compiled files have 3.
_DEEPEST = 32


def read_xmodel(path: Path | str) -> XirGraph:
    """Return the graph of an ``.xmodel`` file, quantized or compiled.

    Raises:
        InputError: The file is missing, damaged, or names operators that it does not hold.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as problem:
        raise unreadable(path, problem) from problem
    return decode(content, str(path))


def decode(content: bytes, file: str = "xmodel") -> XirGraph:
    """Return the graph that a file's bytes hold; `file` names it in errors."""
    if not content:
        raise InputError(f"{file} is empty", hint="copy it again, or export it again")
    reader = _Reader()
    graph = reader.graph(Span(memoryview(content), 0, len(content), file))
    if not graph.operators:
        raise InputError(f"{file} holds no operators; it is no xmodel",
                         hint="give the .xmodel file that a quantizer wrote")  # fmt: skip
    return in_order(graph, file)


@dataclass
class _Reader:
    """Reads messages, and notes fields that the schema does not have."""

    unknown: list[str] = field(default_factory=list)

    def graph(self, span: Span) -> XirGraph:
        name, root = "", None
        operators: list[XirOperator] = []
        definitions: list[Definition] = []
        attributes: dict[str, Attribute] = {}
        for entry in span.fields():
            match entry.number:
                case 1:
                    name = span.text(entry)
                case 5:
                    operators.append(self._operator(span.inside(entry)))
                case 10:
                    root = self._subgraph(span.inside(entry), 0)
                case 11:
                    attributes.update([self._attribute(span.inside(entry))])
                case 101:
                    definitions.append(self._definition(span.inside(entry)))
                case _:
                    self._note("Graph", entry)
        return XirGraph(name, tuple(operators), root, frozen_mapping(attributes),
                        tuple(definitions), tuple(dict.fromkeys(self.unknown)))  # fmt: skip

    def _operator(self, span: Span) -> XirOperator:
        name = kind = ""
        tensor = XirTensor("", ())
        attributes: dict[str, Attribute] = {}
        arguments: dict[str, tuple[str, ...]] = {}
        for entry in span.fields():
            match entry.number:
                case 1:
                    name = span.text(entry)
                case 2:
                    kind = span.text(entry)
                case 3:
                    attributes.update([self._attribute(span.inside(entry))])
                case 4:
                    argument, operands = self._argument(span.inside(entry))
                    arguments[argument] = (*arguments.get(argument, ()), *operands)
                case 5:
                    tensor = self._tensor(span.inside(entry))
                case _:
                    self._note("OPNode", entry)
        if not name or not kind:
            raise span.damaged(span.start, "an operator has no name or no type")
        return XirOperator(name, kind, frozen_mapping(attributes), frozen_mapping(arguments),
                           tensor)  # fmt: skip

    def _argument(self, span: Span) -> tuple[str, tuple[str, ...]]:
        name, operands = "", []
        for entry in span.fields():
            match entry.number:
                case 1:
                    name = span.text(entry)
                case 2:
                    operands.append(span.text(entry))
                case _:
                    self._note("OpArg", entry)
        return name, tuple(operands)

    def _tensor(self, span: Span) -> XirTensor:
        name, shape, data_type, bits = "", list[int](), 0, 0
        attributes: dict[str, Attribute] = {}
        for entry in span.fields():
            match entry.number:
                case 1:
                    name = span.text(entry)
                case 2:
                    shape += span.integers(entry, 32, signed=False)
                case 5:
                    data_type = span.integer(entry, 32, signed=True)
                case 6:
                    bits = span.integer(entry, 32, signed=True)
                case 10:
                    attributes.update([self._attribute(span.inside(entry))])
                case _:
                    self._note("Tensor", entry)
        return XirTensor(name, tuple(shape), data_type, bits, frozen_mapping(attributes))

    def _subgraph(self, span: Span, depth: int) -> XirSubgraph:
        if depth >= _DEEPEST:
            raise span.damaged(span.start, f"subgraphs are nested deeper than {_DEEPEST}")
        name = ""
        operators: list[str] = []
        children: list[XirSubgraph] = []
        attributes: dict[str, Attribute] = {}
        for entry in span.fields():
            match entry.number:
                case 1:
                    name = span.text(entry)
                case 3:
                    operators.append(span.text(entry))
                case 5:
                    attributes.update([self._attribute(span.inside(entry))])
                case 10:
                    children.append(self._subgraph(span.inside(entry), depth + 1))
                case _:
                    self._note("SubGraph", entry)
        return XirSubgraph(name, tuple(operators), frozen_mapping(attributes), tuple(children))

    def _definition(self, span: Span) -> Definition:
        """Read an operator's description; of its arguments and attributes only the names."""
        name = ""
        parts: dict[int, list[str]] = {2: [], 3: []}
        for entry in span.fields():
            match entry.number:
                case 1:
                    name = span.text(entry)
                case 2 | 3:
                    inner = span.inside(entry)
                    parts[entry.number] += [inner.text(f) for f in inner.fields() if f.number == 1]
                case 4:
                    span.text(entry)
                case _:
                    self._note("OpDef", entry)
        return Definition(name, tuple(parts[2]), tuple(parts[3]))

    def _attribute(self, span: Span) -> tuple[str, Attribute]:
        return _map_entry(span, lambda inner: read_attribute(inner, self.unknown))

    def _note(self, message: str, entry: Field) -> None:
        self.unknown.append(f"{message}.{entry.number}")


def _map_entry(span: Span, read: Callable[[Span], Attribute]) -> tuple[str, Any]:
    """Return key and value of one entry of a map from strings to attributes."""
    key, value = "", None
    for entry in span.fields():
        if entry.number == 1:
            key = span.text(entry)
        elif entry.number == 2:
            value = read(span.inside(entry))
    if value is None:
        raise span.damaged(span.start, f"attribute '{key}' has no value")
    return key, value
