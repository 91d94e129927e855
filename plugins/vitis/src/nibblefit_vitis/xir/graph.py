"""XIR's graph as plain values: what stands in an ``.xmodel`` file, nothing added.

Layout is channels-last: (batch, height, width, channels). Lists of two sizes are (width, height),
lists of four pads (left, right, top, bottom).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from nibblefit.ir.graph import frozen_mapping


class Kind(StrEnum):
    """Kinds of attribute values; the value is the field's name in our schema."""

    BOOL = "bool_value"
    INT32 = "int32_value"
    UINT32 = "uint32_value"
    INT64 = "int64_value"
    UINT64 = "uint64_value"
    FLOAT = "float_value"
    DOUBLE = "double_value"
    STRING = "string_value"
    BYTES = "bytes_value"
    BOOLS = "bool_list"
    INT32S = "int32_list"
    UINT32S = "uint32_list"
    INT64S = "int64_list"
    UINT64S = "uint64_list"
    FLOATS = "float_list"
    DOUBLES = "double_list"
    STRINGS = "string_list"
    BYTES_LIST = "bytes_list"
    INT32_MAP = "int32_map"
    UINT32_MAP = "uint32_map"
    INT64_MAP = "int64_map"
    UINT64_MAP = "uint64_map"
    STRING_MAP = "string_map"
    BYTES_MAP = "bytes_map"
    INT32S_MAP = "int32_list_map"
    UINT32S_MAP = "uint32_list_map"
    INT64S_MAP = "int64_list_map"
    UINT64S_MAP = "uint64_list_map"
    STRINGS_MAP = "string_list_map"


class DataType(IntEnum):
    """Number kinds of tensors."""

    INT = 0
    UINT = 1
    XINT = 2
    XUINT = 3
    FLOAT = 4
    BFLOAT = 5


@dataclass(frozen=True, slots=True)
class Attribute:
    """A value with its kind: 0 as int32 and 0 as bool are different attributes."""

    kind: Kind
    value: Any


Attributes = Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class XirTensor:
    """What an operator makes.

    Attributes:
        name: Like the operator's.
        shape: With batch axis.
        data_type: Number of a `DataType`; files may hold others.
        bits: Width of one element.
        attributes: Free.
    """

    name: str
    shape: tuple[int, ...]
    data_type: int = DataType.FLOAT
    bits: int = 32
    attributes: Attributes = field(default_factory=frozen_mapping)


@dataclass(frozen=True, slots=True)
class XirOperator:
    """One operator.

    Attributes:
        name: Unique in the graph.
        kind: Such as ``conv2d``.
        attributes: By name.
        arguments: Names of operators by argument, such as ``input`` and ``weights``.
        tensor: What it makes.
    """

    name: str
    kind: str
    attributes: Attributes
    arguments: Mapping[str, tuple[str, ...]]
    tensor: XirTensor

    def value(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value without its kind."""
        found = self.attributes.get(name)
        return default if found is None else found.value


@dataclass(frozen=True, slots=True)
class XirSubgraph:
    """A named set of operators; compiled files hold trees of them."""

    name: str
    operators: tuple[str, ...] = ()
    attributes: Attributes = field(default_factory=frozen_mapping)
    children: tuple[XirSubgraph, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """What a file says about an operator kind: its arguments and attributes."""

    name: str
    arguments: tuple[str, ...]
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class XirGraph:
    """A whole file.

    Attributes:
        name: Of the graph.
        operators: In the file's order, producers before consumers.
        root: The outermost subgraph.
        attributes: Of the graph.
        definitions: Operator kinds that the file describes; built-in ones need none.
        unknown: Fields that the schema does not have, as ``Message.number``.
    """

    name: str
    operators: tuple[XirOperator, ...]
    root: XirSubgraph | None = None
    attributes: Attributes = field(default_factory=frozen_mapping)
    definitions: tuple[Definition, ...] = ()
    unknown: tuple[str, ...] = ()

    def by_name(self) -> dict[str, XirOperator]:
        """Map names to operators."""
        return {operator.name: operator for operator in self.operators}
