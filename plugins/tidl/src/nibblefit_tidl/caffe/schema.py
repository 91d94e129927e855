"""The messages of Caffe's files, built from the table ``fields.txt`` beside this module.

The table holds the facts of the interface: numbers, names, types. From it protobuf's own classes
are made, so that text and wire format are read and written by protobuf itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

#: A protobuf message; its fields are attributes, as in `fields.txt`.
Message: TypeAlias = Any

_FILE = "nibblefit_caffe.proto"
_PACKAGE = "caffe"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
}


def new(name: str) -> Message:
    """Return an empty message, such as ``NetParameter``."""
    return message_class(name)()


@cache
def message_class(name: str) -> Any:
    """Return the class of a message."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def field_names(name: str) -> tuple[str, ...]:
    """Return the fields of a message, such as ``LayerParameter``."""
    return tuple(message_class(name).DESCRIPTOR.fields_by_name)


def enum_name(message: Message, field: str) -> str:
    """Return the name of an enumeration field's value, such as ``MAX`` of ``pool``."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    return str(kind.values_by_number[getattr(message, field)].name)


def is_repeated(field: Any) -> bool:
    """Return whether a field of a message may occur many times."""
    # protobuf 6 brought the first form, protobuf 7 takes the second one away.
    known = getattr(field, "is_repeated", None)
    return bool(field.label == _FIELD.LABEL_REPEATED if known is None else known)


def text_of(value: str | bytes) -> str:
    """Return a text field; protobuf gives bytes where they are no UTF-8, as in damaged files."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return pool


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto2")
    holders: dict[str, Any] = {"": file}
    blocks = list(_blocks())
    for kind, name, _ in blocks:
        if kind == "message":
            outer, _, own = name.rpartition(".")
            parent = holders[outer]
            holders[name] = parent.nested_type.add() if outer else parent.message_type.add()
            holders[name].name = own
    enums = {name for kind, name, _ in blocks if kind == "enum"}
    for kind, name, lines in blocks:
        if kind == "enum":
            _add_enum(holders, name, lines[0])
        else:
            for line in lines:
                _add_field(holders[name], name, line, enums, holders)
    return file


def _blocks() -> Iterator[tuple[str, str, list[str]]]:
    """Yield (``enum`` or ``message``, name, lines) of the table."""
    text = resources.files(__package__).joinpath("fields.txt").read_text(encoding="utf-8")
    block: tuple[str, str, list[str]] | None = None
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if line.startswith(" ") and block is not None:
            block[2].append(line.strip())
            continue
        if block is not None:
            yield block
        kind, name = line.split()
        block = (kind, name, [])
    if block is not None:
        yield block


def _add_enum(holders: dict[str, Any], name: str, line: str) -> None:
    outer, _, own = name.rpartition(".")
    enum = holders[outer].enum_type.add(name=own)
    for entry in line.split(", "):
        value, _, number = entry.partition("=")
        enum.value.add(name=value, number=int(number))


def _add_field(
    holder: Any, owner: str, line: str, enums: set[str], messages: dict[str, Any]
) -> None:
    text, _, default = line.partition(" = ")
    number, name, kind = text.split()
    bare = kind.rstrip("*+")
    field = holder.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if kind != bare:
        field.label = _FIELD.LABEL_REPEATED
        field.options.packed = kind.endswith("+")
    if default:
        field.default_value = default
    if bare in _SCALARS:
        field.type = _SCALARS[bare]
        return
    full = _resolved(bare, owner, enums, messages)
    field.type = _FIELD.TYPE_ENUM if full in enums else _FIELD.TYPE_MESSAGE
    field.type_name = f".{_PACKAGE}.{full}"


def _resolved(name: str, owner: str, enums: set[str], messages: dict[str, Any]) -> str:
    """Return the full name of a type, searched from the inside outwards."""
    scope = owner
    while True:
        full = f"{scope}.{name}" if scope else name
        if full in enums or full in messages:
            return full
        scope = scope.rpartition(".")[0]
