"""The messages of ``.xmodel`` files as protobuf classes, for the writer only.

Field numbers are facts of the interface (XIR's ``graph_proto_v2``); the field names are ours, as
the wire format carries none. The reader shares nothing with this module.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

#: A protobuf message; its fields are attributes, as in `_MESSAGES`.
Message: TypeAlias = Any

_FILE, _PACKAGE = "nibblefit_xir.proto", "nibblefit_xir"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "uint32": _FIELD.TYPE_UINT32,
    "int64": _FIELD.TYPE_INT64,
    "uint64": _FIELD.TYPE_UINT64,
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
}
#: Message → fields (number, name, type); ``*`` is repeated, ``{}`` a map from strings.
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "Graph": (
        (1, "graph_name", "string"),
        (5, "op_node", "Operator*"),
        (10, "subg_root", "Subgraph"),
        (11, "graph_attr", "Attribute{}"),
    ),
    "Operator": (
        (1, "op_name", "string"),
        (2, "op_type", "string"),
        (3, "op_attr", "Attribute{}"),
        (4, "args", "Argument*"),
        (5, "output_tensor", "Tensor"),
    ),
    "Argument": ((1, "arg_name", "string"), (2, "arg_ops", "string*")),
    "Tensor": (
        (1, "tensor_name", "string"),
        (2, "tensor_dim", "uint32*"),
        (5, "data_type", "int32"),
        (6, "tensor_bit_width", "int32"),
        (10, "tensor_attr", "Attribute{}"),
    ),
    "Subgraph": (
        (1, "subgraph_name", "string"),
        (3, "op_name", "string*"),
        (5, "subg_attr", "Attribute{}"),
        (10, "subg_child", "Subgraph*"),
    ),
    "Bytes": ((1, "value", "bytes"),),
    **{f"{kind.title()}List": ((1, "value", f"{kind}*"),) for kind in _SCALARS},
    **{f"{kind.title()}Map": ((1, "value", f"{kind}{{}}"),) for kind in _SCALARS},
    **{f"{kind.title()}ListMap": ((1, "value", f"{kind.title()}List{{}}"),) for kind in _SCALARS},
    "Attribute": (
        (4, "bool_value", "bool"),
        (5, "int32_value", "int32"),
        (6, "uint32_value", "uint32"),
        (7, "int64_value", "int64"),
        (8, "uint64_value", "uint64"),
        (9, "float_value", "float"),
        (10, "double_value", "double"),
        (11, "string_value", "string"),
        (12, "bytes_value", "Bytes"),
        (13, "bool_list", "BoolList"),
        (14, "int32_list", "Int32List"),
        (15, "uint32_list", "Uint32List"),
        (16, "int64_list", "Int64List"),
        (17, "uint64_list", "Uint64List"),
        (18, "float_list", "FloatList"),
        (19, "double_list", "DoubleList"),
        (20, "string_list", "StringList"),
        (21, "bytes_list", "BytesList"),
        (22, "int32_map", "Int32Map"),
        (23, "uint32_map", "Uint32Map"),
        (24, "int64_map", "Int64Map"),
        (25, "uint64_map", "Uint64Map"),
        (26, "string_map", "StringMap"),
        (27, "bytes_map", "BytesMap"),
        (28, "int32_list_map", "Int32ListMap"),
        (29, "uint32_list_map", "Uint32ListMap"),
        (30, "int64_list_map", "Int64ListMap"),
        (31, "uint64_list_map", "Uint64ListMap"),
        (32, "string_list_map", "StringListMap"),
    ),
}  # fmt: skip
#: Messages of which exactly one field is set, zero included.
_ONE_OF = frozenset({"Attribute"})


@cache
def message_class(name: str) -> Any:
    """Return the class of a message, such as ``Graph``."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name="choice")
        for number, field, kind in fields:
            _add_field(message, number, field, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(message: Any, number: int, name: str, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
    bare = kind.rstrip("*{}")
    if kind.endswith("{}"):
        entry = "".join(part.title() for part in name.split("_")) + "Entry"
        pair = message.nested_type.add(name=entry)
        pair.options.map_entry = True
        _add_field(pair, 1, "key", "string")
        _add_field(pair, 2, "value", bare)
        _set_type(field, f"{message.name}.{entry}")
    else:
        _set_type(field, bare)
    if kind != bare:
        field.label = _FIELD.LABEL_REPEATED
    if message.name in _ONE_OF:
        field.oneof_index = 0


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
