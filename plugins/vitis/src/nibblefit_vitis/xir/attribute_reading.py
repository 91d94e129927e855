"""Attribute values of ``.xmodel`` files: one of 29 kinds each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from nibblefit_vitis.xir.graph import Attribute, Kind
from nibblefit_vitis.xir.wire import Field, Span

#: Bits and sign of integers, by the first letters of a kind's name.
_INTEGERS = {"int32": (32, True), "uint32": (32, False), "int64": (64, True), "uint64": (64, False)}
#: Field number → kind. Source: XIR's ``AttrValue``.
KINDS = {
    4: Kind.BOOL, 5: Kind.INT32, 6: Kind.UINT32, 7: Kind.INT64, 8: Kind.UINT64, 9: Kind.FLOAT,
    10: Kind.DOUBLE, 11: Kind.STRING, 12: Kind.BYTES, 13: Kind.BOOLS, 14: Kind.INT32S,
    15: Kind.UINT32S, 16: Kind.INT64S, 17: Kind.UINT64S, 18: Kind.FLOATS, 19: Kind.DOUBLES,
    20: Kind.STRINGS, 21: Kind.BYTES_LIST, 22: Kind.INT32_MAP, 23: Kind.UINT32_MAP,
    24: Kind.INT64_MAP, 25: Kind.UINT64_MAP, 26: Kind.STRING_MAP, 27: Kind.BYTES_MAP,
    28: Kind.INT32S_MAP, 29: Kind.UINT32S_MAP, 30: Kind.INT64S_MAP, 31: Kind.UINT64S_MAP,
    32: Kind.STRINGS_MAP,
}  # fmt: skip


def read_attribute(span: Span, unknown: list[str]) -> Attribute:
    """Return the one value that an attribute's message holds.

    Args:
        span: The message.
        unknown: Fields that the schema does not have are added here.

    Raises:
        InputError: There is none, or its bytes are damaged.
    """
    found: Attribute | None = None
    for entry in span.fields():
        kind = KINDS.get(entry.number)
        if kind is None:
            unknown.append(f"AttrValue.{entry.number}")
        else:
            found = Attribute(kind, _value(span, entry, kind))
    if found is None:
        raise span.damaged(span.start, "an attribute has no value of a known kind")
    return found


def _value(span: Span, entry: Field, kind: Kind) -> Any:
    family, _, form = kind.value.rpartition("_")
    if form == "map":
        return _map(span.inside(entry), family)
    if form == "list":
        return tuple(_list(span.inside(entry), family))
    if kind is Kind.BYTES:
        return b"".join(_list(span.inside(entry), family))
    return _scalar(span, entry, family)


def _scalar(span: Span, entry: Field, family: str) -> Any:
    if family in _INTEGERS:
        bits, signed = _INTEGERS[family]
        return span.integer(entry, bits, signed=signed)
    if family == "bool":
        return bool(span.integer(entry, 64, signed=False))
    if family in ("float", "double"):
        return _real(span, entry, double=family == "double")
    return span.text(entry) if family == "string" else span.raw(entry)


def _real(span: Span, entry: Field, *, double: bool) -> float:
    wire, code = (1, "<d") if double else (5, "<f")
    if entry.wire != wire:
        raise span.damaged(entry.place, f"field {entry.number} has wire type {entry.wire}")
    return float(struct.unpack(code, entry.content)[0])


def _list(span: Span, family: str) -> list[Any]:
    """Return the entries of field 1 of a message that wraps a list."""
    found: list[Any] = []
    for entry in span.fields():
        if entry.number != 1:
            raise span.damaged(entry.place, f"a list has a field {entry.number}")
        if family in _INTEGERS:
            bits, signed = _INTEGERS[family]
            found += span.integers(entry, bits, signed=signed)
        elif family == "bool":
            found += [bool(number) for number in span.integers(entry, 64, signed=False)]
        elif family in ("float", "double"):
            found += span.reals(entry, double=family == "double")
        else:
            found.append(span.text(entry) if family == "string" else span.raw(entry))
    return found


def _map(span: Span, family: str) -> dict[str, Any]:
    """Return the entries of field 1 of a message that wraps a map."""
    lists = family.endswith("_list")
    element = family.removesuffix("_list")
    found: dict[str, Any] = {}
    for outer in span.fields():
        pair = span.inside(outer)
        key, value = "", _empty(element, lists=lists)
        for entry in pair.fields():
            if entry.number == 1:
                key = pair.text(entry)
            elif lists:
                value = tuple(_list(pair.inside(entry), element))
            else:
                value = _scalar(pair, entry, element)
        found[key] = value
    return found


def _empty(element: str, *, lists: bool) -> Any:
    """Return what an entry without a value means in proto3."""
    if lists:
        return ()
    makers: dict[str, Callable[[], Any]] = {"string": str, "bytes": bytes}
    return makers.get(element, int)()
