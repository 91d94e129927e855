"""YAML text into plain values that remember their lines; duplicate keys are reported, not merged.

The vendor's compiler reads YAML 1.1, so numbers may be written ``0x2000`` or ``1_000`` and flags
``yes``/``no``/``on``/``off``. Only mappings, lists and scalars are understood; tags and anchors
that would build objects are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from nibblefit.errors import InputError
from nibblefit_maxim.reading.problems import Problems

Scalar: TypeAlias = bool | int | float | str | None
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
_NULL = {"", "~", "null"}


@dataclass(frozen=True, slots=True)
class Value:
    """A scalar, list or mapping, with the line (from 1) where it begins."""

    content: Scalar | list[Value] | dict[str, Value]
    line: int

    def plain(self) -> Any:
        """Return nested plain Python values."""
        if isinstance(self.content, list):
            return [item.plain() for item in self.content]
        if isinstance(self.content, dict):
            return {key: item.plain() for key, item in self.content.items()}
        return self.content


def parse(text: str, problems: Problems) -> Value:
    """Parse one YAML document.

    Raises:
        InputError: The text is not YAML at all.
    """
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InputError(
            f"{problems.file}:{line}: not readable as YAML: {error.problem}",
            hint="check indentation and colons near that line",
        ) from error
    except (YAMLError, ValueError) as error:
        raise InputError(f"{problems.file}: not readable as YAML: {error}") from error
    except RecursionError as error:
        raise InputError(
            f"{problems.file}: not readable as YAML: nested too deeply",
            hint="this is no network description",
        ) from error
    return _value(root, problems, set()) if root is not None else Value(None, 1)


def _value(node: Node, problems: Problems, seen: set[int]) -> Value:
    line = node.start_mark.line + 1
    if id(node) in seen:
        # An alias repeats a node, or nests it in itself; expanding could go on for ever.
        problems.add(line, "yaml-alias", "aliases (*name) are not supported; write the value out")
        return Value(None, line)
    seen.add(id(node))
    if isinstance(node, MappingNode):
        return Value(dict(_entries(node, problems, seen)), line)
    if isinstance(node, SequenceNode):
        return Value([_value(item, problems, seen) for item in node.value], line)
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return Value(str(node.value), line)
    return Value(scalar(str(node.value)), line)


def _entries(node: MappingNode, problems: Problems, seen: set[int]) -> Iterator[tuple[str, Value]]:
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in lines:
            problems.add(
                line, "duplicate-key", f"key '{key}' stands twice, first in line {lines[key]}"
            )
            continue
        lines[key] = line
        value = _value(value_node, problems, seen)
        yield key, Value(value.content, line)


def scalar(text: str) -> Scalar:
    """Return a plain scalar as YAML 1.1 reads it: null, flag, integer, number or text."""
    lowered = text.lower()
    if lowered in _NULL:
        return None
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    digits = lowered.replace("_", "")
    try:
        return int(digits, 16) if digits.lstrip("+-").startswith("0x") else int(digits)
    except ValueError:
        pass
    if not any(character.isdigit() for character in digits):
        return text
    try:
        return float(digits)
    except ValueError:
        return text
