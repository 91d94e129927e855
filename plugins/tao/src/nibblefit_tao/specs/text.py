"""Values of a spec as the text that TAO reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nibblefit_tao.specs.schema import ROOT, Label, Schema, schema


def spec_text(kind: str, values: Mapping[str, Any]) -> str:
    """Return a spec in the text format, fields in the order of `values`.

    Args:
        kind: Kind of spec.
        values: As `nibblefit_tao.specs.typed.Spec` holds them.
    """
    return "\n".join(_message(schema(kind), ROOT, values, "")) + "\n"


def _message(chosen: Schema, name: str, values: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in values.items():
        field = chosen.messages[name][key]
        if field.label is Label.MAP:
            for entry, inner in value.items():
                yield f"{indent}{key} {{"
                yield f"{indent}  key: {json.dumps(entry)}"
                yield from _field(chosen, "value", field.type, inner, indent + "  ")
                yield f"{indent}}}"
            continue
        for item in value if field.label is Label.REPEATED else [value]:
            yield from _field(chosen, key, field.type, item, indent)


def _field(chosen: Schema, key: str, kind: str, value: Any, indent: str) -> Iterator[str]:
    if kind in chosen.messages:
        yield f"{indent}{key} {{"
        yield from _message(chosen, kind, value, indent + "  ")
        yield f"{indent}}}"
    else:
        yield f"{indent}{key}: {_scalar(chosen, kind, value)}"


def _scalar(chosen: Schema, kind: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if kind in chosen.enums else json.dumps(value, ensure_ascii=False)
    return repr(value)
