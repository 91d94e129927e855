"""Tables of what an ``.xmodel`` holds."""

from __future__ import annotations

from typing import Any

from nibblefit.results import Table
from nibblefit_vitis.xir.graph import Attribute, DataType, Kind, XirGraph, XirOperator

_LONGEST = 60


def listing(graph: XirGraph) -> Table:
    """Return one row per operator."""
    rows = tuple(
        (
            operator.name,
            operator.kind,
            " x ".join(map(str, operator.tensor.shape)),
            operator.value("fix_point"),
            operator.value("bit_width"),
            _inputs(operator),
        )
        for operator in graph.operators
    )
    columns = ("operator", "type", "shape", "fix point", "bits", "reads")
    return Table(f"{graph.name}: {len(rows)} operators", columns, rows)


def as_json(graph: XirGraph) -> dict[str, Any]:
    """Return everything in the file; of bytes only how many there are."""
    return {
        "name": graph.name,
        "attributes": {key: _plain(value) for key, value in graph.attributes.items()},
        "operators": [_operator(operator) for operator in graph.operators],
        "definitions": [definition.name for definition in graph.definitions],
        "unknown_fields": list(graph.unknown),
    }


def _operator(operator: XirOperator) -> dict[str, Any]:
    tensor = operator.tensor
    known = tensor.data_type in DataType.__members__.values()
    kind = DataType(tensor.data_type).name if known else str(tensor.data_type)
    return {
        "name": operator.name,
        "type": operator.kind,
        "attributes": {key: _plain(value) for key, value in sorted(operator.attributes.items())},
        "arguments": {key: list(names) for key, names in operator.arguments.items()},
        "shape": list(tensor.shape),
        "data_type": f"{kind}{tensor.bits}",
    }


def _plain(attribute: Attribute) -> Any:
    if attribute.kind is Kind.BYTES:
        return f"{len(attribute.value)} bytes"
    if attribute.kind in (Kind.BYTES_LIST, Kind.BYTES_MAP):
        return f"{len(attribute.value)} texts of bytes"
    return attribute.value


def _inputs(operator: XirOperator) -> str:
    text = ", ".join(name for names in operator.arguments.values() for name in names)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
