"""What is written is the text format: Google's own parser reads it, with the same values."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from nibblefit_tao.specs.conversion.to_recipe import to_recipe
from nibblefit_tao.specs.conversion.to_spec import to_spec
from nibblefit_tao.specs.schema import ROOT, Label, Schema, schema
from nibblefit_tao.specs.text import spec_text
from nibblefit_tao.specs.typed import read_spec

FILES = (
    "ssd_default_spec.txt", "ssd_train_own.txt", "ssd_retrain_own.txt",
    "detectnet_v2_default_spec.txt", "classification_tf1_default_spec.txt",
    "resnet101_imagenet2012.txt", "frcnn_resnet10_qat_spec.txt",
)  # fmt: skip
TYPES = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9,
    "bytes": 12, "uint32": 13,
}  # fmt: skip


def message_class(chosen: Schema) -> Any:
    """Return the root message of a schema as protobuf makes it of the same tables."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name=f"{chosen.kind}.proto", syntax="proto3")
    flat = {name: name.replace(".", "_") for name in (*chosen.messages, *chosen.enums)}
    for name, words in chosen.enums.items():
        entry = file.enum_type.add(name=flat[name])
        for word, value in words.items():
            entry.value.add(name=word, number=value)
    for name, fields in chosen.messages.items():
        message = file.message_type.add(name=flat[name])
        for number, (key, kind) in enumerate(fields.items(), start=1):
            field = message.field.add(name=key, number=number, label=1)
            if kind.label is Label.MAP:
                nested = "".join(part.capitalize() for part in key.split("_")) + "Entry"
                inner = message.nested_type.add(name=nested)
                inner.options.map_entry = True
                inner.field.add(name="key", number=1, label=1, type=9)
                _set_type(inner.field.add(name="value", number=2, label=1), kind.type, chosen, flat)
                field.type, field.type_name, field.label = 11, f".{flat[name]}.{nested}", 3
                continue
            field.label = 3 if kind.label is Label.REPEATED else 1
            _set_type(field, kind.type, chosen, flat)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(flat[ROOT]))


def _set_type(field: Any, kind: str, chosen: Schema, flat: dict[str, str]) -> None:
    if kind in TYPES:
        field.type = TYPES[kind]
    else:
        field.type = 11 if kind in chosen.messages else 14
        field.type_name = f".{flat[kind]}"


@pytest.mark.parametrize("name", FILES)
def test_written_specs_mean_what_the_vendors_files_mean(shared: Path, name: str) -> None:
    """Google's parser reads both texts to equal messages."""
    text_format = pytest.importorskip("google.protobuf.text_format")
    path = shared / "vendor" / "tao" / "specs" / name
    spec = read_spec(path)
    kind = message_class(schema(spec.kind))
    theirs = text_format.Parse(path.read_text(), kind())
    assert text_format.Parse(spec_text(spec.kind, spec.values), kind()) == theirs
    if spec.kind in ("ssd", "classification", "detectnet_v2"):
        tables = tomllib.loads(to_recipe(spec).text())
        again = to_spec(tables, spec)
        assert text_format.Parse(again, kind()) == theirs
        tables["train"]["train"]["epochs"] = 7
        assert text_format.Parse(to_spec(tables, spec), kind()) != theirs
