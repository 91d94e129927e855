"""Every kind of attribute, through protobuf's library and back through our own parser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.xir.attribute_reading import KINDS
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.graph import (
    Attribute,
    Kind,
    XirGraph,
    XirOperator,
    XirSubgraph,
    XirTensor,
)
from nibblefit_vitis.xir.listing import as_json
from nibblefit_vitis.xir.reading import decode

SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=5),
    "bytes": st.binary(max_size=5),
}


def values_of(kind: Kind) -> st.SearchStrategy[Any]:
    """Return values of a kind, edges and empty ones included."""
    family, _, form = kind.value.rpartition("_")
    if form == "map":
        element = SCALARS[family.removesuffix("_list")]
        lists = st.lists(element, max_size=3).map(tuple)
        entry = lists if family.endswith("_list") else element
        return st.dictionaries(st.text(max_size=3), entry, max_size=3)
    if form == "list":
        return st.lists(SCALARS[family], max_size=4).map(tuple)
    return SCALARS[family]


def graph_with(attribute: Attribute) -> XirGraph:
    """Return a graph that has an attribute wherever there may be one."""
    attributes = frozen_mapping({"key": attribute})
    tensor = XirTensor("op", (1, 2), 2, 8, attributes)
    child = XirSubgraph("child", ("op",), attributes)
    return XirGraph(
        "graph", (XirOperator("op", "data", attributes, frozen_mapping(), tensor),),
        XirSubgraph("root", ("op",), attributes, (child,)), attributes,
    )  # fmt: skip


@given(st.data())
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_survives_everywhere(kind: Kind, data: st.DataObject) -> None:
    """On graphs, operators, tensors and subgraphs, values and kinds come back equal."""
    graph = graph_with(Attribute(kind, data.draw(values_of(kind))))
    assert decode(encode(graph)) == graph


def test_all_kinds_of_the_format_are_known() -> None:
    """Field numbers 4 to 32 each stand for one kind."""
    assert sorted(KINDS) == list(range(4, 33))
    assert set(KINDS.values()) == set(Kind)


def test_bytes_are_listed_by_their_length() -> None:
    """JSON holds no bytes."""
    for kind, value in ((Kind.BYTES, b"abc"), (Kind.BYTES_LIST, (b"a", b"b")),
                        (Kind.BYTES_MAP, {"a": b""})):  # fmt: skip
        shown = as_json(graph_with(Attribute(kind, value)))["attributes"]["key"]
        assert shown.startswith(str(len(value)))


def test_unknown_data_types_are_listed_by_number() -> None:
    """A newer number kind is shown, not refused."""
    graph = graph_with(Attribute(Kind.INT32, 1))
    (operator,) = graph.operators
    other = replace(operator, tensor=replace(operator.tensor, data_type=9))
    shown = as_json(replace(graph, operators=(other,)))["operators"][0]
    assert shown["data_type"] == "98"


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, by hand."""
    return _key(number, 2) + bytes((len(content),)) + content


def _key(number: int, wire: int) -> bytes:
    value = number << 3 | wire
    return bytes((value,)) if value < 128 else bytes((value & 127 | 128, value >> 7))


def attribute_file(value: bytes) -> bytes:
    """Return a file whose one operator has an attribute with given bytes."""
    entry = field(1, b"key") + field(2, value)
    return field(5, field(1, b"op") + field(2, b"data") + field(3, entry))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (_key(9, 0) + b"\x01", "wire type 0"),
        (_key(5, 0) + b"\xff\xff\xff\xff\x7f", "does not fit 32 bits"),
        (field(12, field(2, b"a")), "a list has a field 2"),
        (field(18, field(1, b"abc")), "no list of 4-byte numbers"),
        (field(18, _key(1, 0) + b"\x01"), "wire type 0"),
        (_key(99, 0) + b"\x01", "no value of a known kind"),
    ],
)  # fmt: skip
def test_damaged_attributes_are_named(value: bytes, words: str) -> None:
    """The text says what is wrong with the bytes."""
    with pytest.raises(InputError, match=words):
        decode(attribute_file(value))


def test_lists_may_be_written_number_by_number() -> None:
    """Packed and single numbers mean the same; missing entries of maps are empty."""
    single = attribute_file(field(14, _key(1, 0) + b"\x07" + _key(1, 0) + b"\x08"))
    assert decode(single).operators[0].value("key") == (7, 8)
    for number, empty in ((22, 0), (26, ""), (27, b""), (28, ())):
        found = decode(attribute_file(field(number, field(1, field(1, b"k")))))
        assert found.operators[0].value("key") == {"k": empty}


def test_fields_that_the_schema_lacks_are_reported_by_message() -> None:
    """Each message says where something new was found."""
    new = _key(15, 0) + b"\x01"
    body = field(1, b"op") + field(2, b"data") + field(4, field(1, b"input") + new)
    body += field(5, new) + new
    content = field(5, body) + field(10, new)
    content += _key(101, 2) + bytes((2 + len(new),)) + field(4, b"") + new
    found = set(decode(content).unknown)
    assert found == {"OPNode.15", "OpArg.15", "Tensor.15", "SubGraph.15", "OpDef.15"}
