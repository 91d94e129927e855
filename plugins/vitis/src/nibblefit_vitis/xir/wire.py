"""Protobuf's wire format, read strictly: every length is checked before anything is taken.

The reader of ``.xmodel`` files stands on this module and not on protobuf's library, which the
writer uses; so an error in one of them cannot hide in the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from nibblefit.errors import InputError

_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_MOST_VARINT_BYTES = 10
_WORD = 1 << 64


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: Of the field.
        wire: Wire type: 0 number, 1 eight bytes, 2 bytes with a length, 5 four bytes.
        number_value: Unsigned value where `wire` is 0.
        content: Bytes otherwise.
        place: Offset in the file.
    """

    number: int
    wire: int
    number_value: int
    content: memoryview
    place: int


class Span:
    """A stretch of a file that holds one message.

    Attributes:
        data: The whole file.
        start: First byte.
        end: Byte after the last.
        file: Name of the file, for errors.
    """

    def __init__(self, data: memoryview, start: int, end: int, file: str) -> None:
        self.data, self.start, self.end, self.file = data, start, end, file

    def fields(self) -> Iterator[Field]:
        """Yield the fields of the message.

        Raises:
            InputError: The bytes are no message.
        """
        at, nothing = self.start, self.data[:0]
        while at < self.end:
            place = at
            key, at = self.varint(at)
            number, wire = key >> 3, key & 7
            if number == 0 or number >= 1 << 29:
                raise self.damaged(place, f"field number {number} does not exist")
            if wire == _VARINT:
                value, at = self.varint(at)
                yield Field(number, wire, value, nothing, place)
                continue
            if wire == _LENGTH:
                length, at = self.varint(at)
            elif wire in (_EIGHT, _FOUR):
                length = 8 if wire == _EIGHT else 4
            else:
                raise self.damaged(place, f"wire type {wire} does not occur in these files")
            if length > self.end - at:
                raise self.damaged(place, f"field {number} says {length} bytes, "
                                          f"{self.end - at} are left")  # fmt: skip
            yield Field(number, wire, at, self.data[at : at + length], place)
            at += length

    def varint(self, at: int) -> tuple[int, int]:
        """Return the number of variable length at a place, and the place after it."""
        value = 0
        for index in range(_MOST_VARINT_BYTES):
            if at + index >= self.end:
                raise self.damaged(at, "the file ends inside a number")
            byte = self.data[at + index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >= _WORD:
                    break
                return value, at + index + 1
        raise self.damaged(at, "a number has more than 64 bits")

    def inside(self, field: Field) -> Span:
        """Return the message in a field."""
        self._expect(field, _LENGTH)
        return Span(self.data, field.number_value, field.number_value + len(field.content),
                    self.file)  # fmt: skip

    def text(self, field: Field) -> str:
        """Return a text field."""
        self._expect(field, _LENGTH)
        try:
            return bytes(field.content).decode("utf-8")
        except UnicodeDecodeError as problem:
            raise self.damaged(field.place, f"a text is no UTF-8 ({problem.reason})") from problem

    def raw(self, field: Field) -> bytes:
        """Return a field of bytes."""
        self._expect(field, _LENGTH)
        return bytes(field.content)

    def integer(self, field: Field, bits: int, *, signed: bool) -> int:
        """Return an integer field; signed ones are two's complement in 64 bits."""
        self._expect(field, _VARINT)
        return self.fitted(field.number_value, bits, signed=signed, place=field.place)

    def integers(self, field: Field, bits: int, *, signed: bool) -> list[int]:
        """Return the numbers of a repeated field, packed or single."""
        if field.wire == _VARINT:
            return [self.integer(field, bits, signed=signed)]
        span, found = self.inside(field), []
        at = span.start
        while at < span.end:
            value, after = span.varint(at)
            found.append(self.fitted(value, bits, signed=signed, place=at))
            at = after
        return found

    def fitted(self, value: int, bits: int, *, signed: bool, place: int) -> int:
        """Return a number as the integer of a width that it stands for."""
        number = value - _WORD if signed and value >= _WORD // 2 else value
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if not low <= number <= high:
            raise self.damaged(place, f"{number} does not fit {bits} bits")
        return number

    def reals(self, field: Field, *, double: bool) -> list[float]:
        """Return the floating-point numbers of a field, packed or single."""
        size, code = (8, "d") if double else (4, "f")
        if field.wire not in (_LENGTH, _EIGHT if double else _FOUR):
            raise self.damaged(field.place, f"field {field.number} has wire type {field.wire}")
        if len(field.content) % size:
            raise self.damaged(field.place, f"{len(field.content)} bytes are no list of "
                                            f"{size}-byte numbers")  # fmt: skip
        return list(struct.unpack(f"<{len(field.content) // size}{code}", field.content))

    def damaged(self, place: int, reason: str) -> InputError:
        """Return the error for a file that cannot be read."""
        return InputError(f"{self.file} is damaged, or no xmodel: {reason} (byte {place})",
                          hint="copy it again, or export it again")  # fmt: skip

    def _expect(self, field: Field, wire: int) -> None:
        if field.wire != wire:
            raise self.damaged(
                field.place, f"field {field.number} has wire type {field.wire}, expected {wire}"
            )
