"""Caffe's text and binary files as messages; every fault names the file and the place in it."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from nibblefit.errors import InputError, did_you_mean
from nibblefit_tidl.caffe.schema import Message, field_names, is_repeated, message_class

#: protobuf cannot hold more in one message.
LARGEST_BINARY = (1 << 31) - 1
#: A network's text is some hundred kilobytes at most.
LARGEST_TEXT = 64 << 20

#: Characters of protobuf's own words that are shown.
_SHOWN = 200
_HDF5 = b"\x89HDF"
_PLACE = re.compile(r"^(\d+):(\d+) : (.*)$", re.DOTALL)
_NO_FIELD = re.compile(r'Message type "caffe\.([\w.]+)" has no field named "(\w+)"')
_NO_VALUE = re.compile(r'Enum type "caffe\.([\w.]+)" has no value named (\w+)')


def read_text(path: Path, kind: str) -> Message:
    """Return the message of a text file (``.prototxt``).

    Args:
        path: The file.
        kind: Message in it, such as ``NetParameter``.

    Raises:
        InputError: The file cannot be read, or its text is no such message; says the line.
    """
    raw = _bytes(path, LARGEST_TEXT)
    try:
        return parse_text(raw.decode("utf-8"), kind, str(path))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text (byte {error.start})",
            hint="give the .prototxt here; a .caffemodel belongs to model.weights",
        ) from error


def parse_text(text: str, kind: str, where: str) -> Message:
    """Return the message that a text says; see `read_text`."""
    message = message_class(kind)()
    try:
        text_format.Parse(text, message)
    except (text_format.ParseError, RecursionError, ValueError) as error:
        raise InputError(*_explained(str(error), where)) from error
    return message


def _explained(problem: str, where: str) -> tuple[str]:
    place = _PLACE.match(problem)
    at = f"{where}, line {place[1]}" if place else where
    said = " ".join((place[3] if place else problem).split())
    # protobuf quotes the whole line, which may be the whole file.
    said = said.rpartition("': ")[2][:_SHOWN] if said.startswith("'") else said[:_SHOWN]
    if missing := _NO_FIELD.search(said):
        owner, name = missing.groups()
        close = did_you_mean(name, field_names(owner))
        return (f"{at}: {owner} has no field '{name}'; {close}",)
    if unknown := _NO_VALUE.search(said):
        return (f"{at}: '{unknown[2]}' is no value of {unknown[1]}",)
    return (f"{at}: {said.rstrip('.')}",)


def read_binary(path: Path, kind: str) -> tuple[Message, tuple[str, ...]]:
    """Return the message of a binary file (``.caffemodel``) and what in it is not understood.

    Raises:
        InputError: The file is missing, empty, cut off, or not a message of this kind.
    """
    raw = _bytes(path, LARGEST_BINARY)
    return parse_binary(raw, kind, str(path))


def parse_binary(raw: bytes, kind: str, where: str) -> tuple[Message, tuple[str, ...]]:
    """Return the message that bytes say, and its unknown fields as ``Message field N``."""
    if raw.startswith(_HDF5):
        raise InputError(
            f"{where} is an HDF5 file",
            hint="let the solver write snapshot_format: BINARYPROTO, or convert the weights",
        )
    message = message_class(kind)()
    try:
        message.ParseFromString(raw)
    except (DecodeError, RecursionError, ValueError) as error:
        raise InputError(
            f"{where} is cut off or damaged: its {len(raw):,} bytes are no {kind}",
            hint="copy or download the file again",
        ) from error
    if not raw or not message.ListFields():
        raise InputError(
            f"{where} holds nothing of a {kind}", hint="check that it is the file you meant"
        )
    return message, tuple(dict.fromkeys(_unknown(message)))


def _unknown(message: Message) -> list[str]:
    found = [f"{message.DESCRIPTOR.name} field {f.field_number}" for f in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.name != "BlobProto":
            for item in value if is_repeated(field) else (value,):
                found += _unknown(item)
    return found


def _bytes(path: Path, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise InputError(
                f"{path} has {size:,} bytes; at most {largest:,} can be read",
                hint="check that it is the file you meant",
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", hint="check the path") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
