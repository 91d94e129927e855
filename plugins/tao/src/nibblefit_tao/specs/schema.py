"""Which fields each kind of spec has.

Source: message definitions of tao_tensorflow1_backend (commit 2ec95cbb), as tables of field names
and types in ``fields/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from nibblefit.ir.graph import frozen_mapping

ROOT = "Experiment"
#: Kinds of spec with a table, in the order in which they are guessed.
KINDS = (
    "ssd", "classification", "detectnet_v2", "faster_rcnn", "retinanet", "yolo_v3", "yolo_v4",
    "unet",
)  # fmt: skip


class Label(StrEnum):
    """How often a field may stand there."""

    SINGLE = "single"
    REPEATED = "repeated"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class FieldType:
    """Type of a field.

    Attributes:
        label: See `Label`.
        type: A scalar type, an enumeration or a message; of a map, that of its values.
    """

    label: Label
    type: str


@dataclass(frozen=True, slots=True)
class Schema:
    """Messages of one kind of spec.

    Attributes:
        kind: Its name.
        messages: Message → field → type.
        choices: Message → groups of fields of which one may be set.
        enums: Enumeration → word → number.
    """

    kind: str
    messages: Mapping[str, Mapping[str, FieldType]]
    choices: Mapping[str, tuple[tuple[str, ...], ...]]
    enums: Mapping[str, Mapping[str, int]]


@cache
def schema(kind: str) -> Schema:
    """Return the schema of a kind of spec."""
    text = (files("nibblefit_tao.specs") / "fields" / f"{kind}.json").read_text("utf-8")
    stored: dict[str, Any] = json.loads(text)
    choices = {
        name: tuple(tuple(group) for group in fields.pop("oneof", ()))
        for name, fields in stored["messages"].items()
    }
    messages = {
        name: frozen_mapping({field: _type(words) for field, words in fields.items()})
        for name, fields in stored["messages"].items()
    }
    return Schema(kind, frozen_mapping(messages), frozen_mapping(choices), stored["enums"])


def _type(words: str) -> FieldType:
    first, _, rest = words.partition(" ")
    if first == Label.MAP:
        return FieldType(Label.MAP, rest.partition(" ")[2])
    if first == Label.REPEATED:
        return FieldType(Label.REPEATED, rest)
    return FieldType(Label.SINGLE, words)
