"""From what pydantic found wrong to sentences: key, value found, values accepted, the fix."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from nibblefit.errors import did_you_mean
from nibblefit_vitis.configuration.json_text import KeyPath
from nibblefit_vitis.configuration.keys import ACCEPTED, KINDS_KEY, LAYERS, OVERALL, TENSORS
from nibblefit_vitis.configuration.problems import Problems, dotted, shortened, shown
from nibblefit_vitis.configuration.schema import (
    Configuration,
    LayerEntry,
    QuantizeBlock,
    TensorBlocks,
)
from nibblefit_vitis.settings import Kind


def explain(error: ValidationError, problems: Problems) -> None:
    """Record one problem per fault of a validated file; unknown keys, which come first there."""
    for one in sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden"):
        path = tuple(part for part in one["loc"] if isinstance(part, int) or _is_key(part))
        if one["type"] == "extra_forbidden":
            _unknown(path, one["loc"], problems)
        elif one["type"] == "missing":
            problems.add(
                path,
                f"{dotted(path)} is missing; accepted is {ACCEPTED[str(path[-1])]}",
                f'add it, such as "{KINDS_KEY}": ["weights", "activation"]',
            )
        else:
            problems.add(path, *_wrong(path, one["input"]))


def _is_key(part: Any) -> bool:
    # Locations also hold names of union members, which are no keys of the file.
    return "[" not in part and "-" not in part


def _unknown(path: KeyPath, location: tuple[int | str, ...], problems: Problems) -> None:
    key, holder = str(location[-1]), path[:-1] if path[-1:] == location[-1:] else path
    place = f"in {dotted(holder)}" if holder else "at the top level"
    known = list(model_at(holder).model_fields)
    problems.add((*holder, key), f"unknown key '{shortened(key)}' {place}",
                 f"{did_you_mean(key, known)}, or remove it".replace("?,", "?"))  # fmt: skip


def _wrong(path: KeyPath, value: Any) -> tuple[str, str]:
    key = next(part for part in reversed(path) if isinstance(part, str))
    accepted = ACCEPTED[key]
    if path[-1] != key:
        accepted = accepted.removeprefix("a list of ")
    remedy = f"write one of these values for {key}"
    if isinstance(value, str):
        close = did_you_mean(value, accepted.split(", "))
        remedy = close if close.startswith("did") else remedy
    return f"{dotted(path)} = {shown(value)}; accepted is {accepted}", remedy


def model_at(path: KeyPath) -> type[BaseModel]:
    """Return the model of the object at a path of the file."""
    found: type[BaseModel] = Configuration
    for part in path:
        if part == OVERALL or part in tuple(Kind):
            found = QuantizeBlock
        elif part == TENSORS:
            found = TensorBlocks
        elif part == LAYERS:
            found = LayerEntry
    return found
