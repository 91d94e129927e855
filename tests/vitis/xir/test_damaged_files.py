"""Files that are cut off, changed or made to harm: one clear line, quickly."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.xir.networks import activations, convolutions, formats_of, moved, pools

from nibblefit.errors import InputError, NibblefitError
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.reading import decode, read_xmodel


def written() -> tuple[bytes, ...]:
    """Return small files of ours."""
    graphs = (convolutions(), pools(), activations(), moved())
    return tuple(encode(to_xir(g, formats_of(g), NetworkSetting()).graph) for g in graphs)


FILES = written()


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, by hand."""
    assert len(content) < 128
    return bytes((number << 3 | 2, len(content))) + content


def operator(name: str, kind: str, *inputs: str) -> bytes:
    """Return an operator that reads others."""
    body = field(1, name.encode()) + field(2, kind.encode())
    for given_name in inputs:
        body += field(4, field(1, b"input") + field(2, given_name.encode()))
    return field(5, body)


@given(st.sampled_from(FILES), st.data())
def test_cut_files_are_refused_in_one_line(content: bytes, data: st.DataObject) -> None:
    """Whatever is left of a file is either refused or a smaller graph, never a crash."""
    cut = data.draw(st.integers(0, len(content) - 1))
    with suppress(NibblefitError):
        network_of(decode(content[:cut], "cut.xmodel"))


@given(st.sampled_from(FILES), st.data())
def test_changed_bytes_never_crash(content: bytes, data: st.DataObject) -> None:
    """Any byte may be another one."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.integers(0, 255))
    with suppress(NibblefitError):
        network_of(decode(bytes(changed)))


@given(st.binary(max_size=200))
def test_random_bytes_never_crash(content: bytes) -> None:
    """Any bytes at all."""
    with suppress(NibblefitError):
        network_of(decode(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x0a\x04test", "no operators"),
        (b"\x2a\xff\xff\xff\xff\x0f", "are left"),
        (b"\x80", "ends inside a number"),
        (b"\xff" * 9 + b"\x02", "more than 64 bits"),
        (b"\x80" * 11, "more than 64 bits"),
        (b"\x00\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x08\x01", "wire type 0, expected 2"),
        (field(1, b"\xff\xfe"), "UTF-8"),
        (field(5, field(1, b"nameless")), "no name or no type"),
        (operator("a", "relu", "b"), "reads 'b'"),
        (operator("a", "relu", "b") + operator("b", "relu", "a"), "depends on itself"),
        (operator("a", "data") * 2, "two operators are called 'a'"),
        (field(5, field(1, b"a") + field(2, b"b") + field(3, field(1, b"k"))), "has no value"),
        (field(5, field(1, b"a") + field(2, b"b") + field(3, field(2, b""))), "no value of a"),
    ],
)  # fmt: skip
def test_each_kind_of_damage_is_named(content: bytes, words: str) -> None:
    """The text says what is wrong, and where."""
    with pytest.raises(InputError, match=words):
        decode(content, "file")


def test_deeply_nested_subgraphs_are_refused() -> None:
    """Nesting has a limit well below Python's own."""
    inner = field(1, b"leaf")
    for _ in range(40):
        if len(inner) > 120:
            break
        inner = field(10, inner)
    with pytest.raises(InputError, match="nested deeper"):
        decode(operator("a", "data") + field(10, inner))


def test_operators_are_sorted_where_the_file_is_not() -> None:
    """A reader that stands before its producer is moved behind it."""
    graph = decode(operator("b", "relu", "a") + operator("a", "data"))
    assert [op.name for op in graph.operators] == ["a", "b"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path without a file gives one line with the path."""
    with pytest.raises(InputError, match=r"none\.xmodel cannot be read"):
        read_xmodel(tmp_path / "none.xmodel")


def test_unknown_fields_are_skipped_and_reported() -> None:
    """A newer file can still be read, and says what was not understood."""
    graph = decode(operator("a", "data") + field(9, b"new"))
    assert graph.unknown == ("Graph.9",)
