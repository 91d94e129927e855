"""From YAML text to layer entries: one typed record per layer, defaults filled in as the compiler
does, and every problem collected with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nibblefit.errors import InputError
from nibblefit_maxim.layers import Eltwise, Operator
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.entry import LayerEntry, NetworkEntry
from nibblefit_maxim.reading.entry_checks import check_entry
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.schema import (
    GLOBAL_KEYS,
    LAYER_KEYS,
    REQUIRED_GLOBAL_KEYS,
    RESERVED_NAMES,
    BadValueError,
    closest,
    processor_map,
    read_value,
)
from nibblefit_maxim.reading.sequencing import in_order
from nibblefit_maxim.reading.whole_file import check_tools, data_buffer
from nibblefit_maxim.reading.yaml_text import Value, parse

__all__ = ["LayerEntry", "NetworkEntry", "collect_entries", "read_entries"]


def read_entries(text: str, file: str, part: Part) -> NetworkEntry:
    """Parse a network YAML into entries, checking everything that needs no weights.

    Args:
        text: Contents of the file.
        file: Its name, for messages.
        part: Device whose limits count.

    Raises:
        InputError: Every problem, each with its line.
    """
    problems = Problems(file)
    network = collect_entries(text, part, problems)
    problems.raise_if_any()
    return network


def collect_entries(text: str, part: Part, problems: Problems) -> NetworkEntry:
    """Parse as `read_entries` does, but record problems instead of raising them.

    Raises:
        InputError: The text is no mapping at all, so that nothing can be said about it.
    """
    root = parse(text, problems)
    if not isinstance(root.content, dict):
        raise InputError(
            f"{problems.file}:{root.line}: expected keys such as arch, dataset and layers",
            hint="see the vendor's manual, or let nibblefit write the file",
        )
    entries = root.content
    for key, value in entries.items():
        if key not in GLOBAL_KEYS:
            problems.add(
                value.line, "unknown-key", f"unknown key '{key}'{closest(key, GLOBAL_KEYS)}"
            )
    for key in REQUIRED_GLOBAL_KEYS:
        if key not in entries:
            problems.add(0, "missing-key", f"key '{key}' is missing")
    layers = _layers(entries.get("layers"), part, problems)
    output_map = None
    if "output_map" in entries:
        try:
            output_map = processor_map(entries["output_map"].plain())
        except BadValueError as error:
            problems.add(entries["output_map"].line, "bad-value", f"'output_map': {error}")
    check_tools(entries, part, problems)
    run, idle = in_order(layers, part, problems)
    return NetworkEntry(
        problems.file, _text(entries, "arch"), _text(entries, "dataset"), run, output_map, idle,
        data_buffer(entries, problems),
    )  # fmt: skip


def _text(entries: Mapping[str, Value], key: str) -> str:
    return str(entries[key].plain()) if key in entries else ""


def _layers(value: Value | None, part: Part, problems: Problems) -> list[LayerEntry]:
    if value is None:
        return []
    if not isinstance(value.content, list) or not value.content:
        problems.add(value.line, "bad-value", "'layers' must be a list with at least one layer")
        return []
    found = [_layer(index, item, part, problems) for index, item in enumerate(value.content)]
    found = _with_unique_names(found, problems)
    _check_conv1d_trap(found, problems)
    if len(value.content) > part.max_layers:
        problems.add(
            value.line,
            "part-limit",
            f"{len(value.content)} layers; the {part.title} has {part.max_layers}",
        )
    return found


def _layer(index: int, value: Value, part: Part, problems: Problems) -> LayerEntry:
    given: dict[str, Any] = {}
    lines: dict[str, int] = {}
    damaged: set[str] = set()
    if not isinstance(value.content, dict):
        problems.add(value.line, "bad-value", f"layer {index} is not a mapping of keys")
        return _complete(index, value.line, given, lines, {"op", "processors"})
    for spelled, item in value.content.items():
        key = LAYER_KEYS.get(spelled)
        if key is None:
            problems.add(
                item.line,
                "unknown-key",
                f"layer {index}: unknown key '{spelled}'{closest(spelled, LAYER_KEYS)}",
            )
            damaged.add(spelled)
        elif key.name in given:
            problems.add(
                item.line, "duplicate-key", f"layer {index}: '{spelled}' repeats '{key.name}'"
            )
            damaged.add(key.name)
        else:
            try:
                given[key.name] = read_value(key, item)
                lines[key.name] = item.line
            except BadValueError as error:
                message = f"layer {index}: '{spelled}' is {item.plain()!r}; {error}"
                problems.add(item.line, "bad-value", message)
                damaged.add(key.name)
    entry = _complete(index, value.line, given, lines, damaged)
    return replace(entry, damaged=entry.damaged | check_entry(entry, part, problems))


def _complete(
    index: int, line: int, given: Mapping[str, Any], lines: Mapping[str, int], damaged: set[str]
) -> LayerEntry:
    kind = given.get("op", Operator.CONV2D)
    operator = Operator.PASSTHROUGH if isinstance(kind, Eltwise) else kind
    eltwise = kind if isinstance(kind, Eltwise) else given.get("eltwise")
    kernel: tuple[int, ...] = ()
    if operator is Operator.CONV1D:
        kernel = given.get("kernel_size", (9,))
    elif operator in (Operator.CONV2D, Operator.CONV_TRANSPOSE2D):
        kernel = given.get("kernel_size", (3, 3))
    convolves = bool(kernel)
    return LayerEntry(
        index=index,
        line=line,
        given=given,
        lines=lines,
        name=str(given.get("name", f"layer{index:03d}")),
        operator=operator,
        eltwise=eltwise,
        operands=int(given.get("operands", 2)) if eltwise else 1,
        kernel=kernel,
        pad=int(given.get("pad", 1 if convolves else 0)),
        damaged=frozenset(damaged),
        number=index,
    )


def _with_unique_names(entries: list[LayerEntry], problems: Problems) -> list[LayerEntry]:
    """Report names that cannot be; such layers go on under their numbers."""
    seen: dict[str, int] = {}
    kept = []
    for entry in entries:
        name, problem = entry.name.lower(), ""
        if "name" in entry.given and name in RESERVED_NAMES:
            problem = f"name '{name}' is reserved"
        elif name in seen:
            problem = f"name '{name}' already names layer {seen[name]}"
        if problem:
            message = f"layer {entry.index}: {problem}"
            problems.add(entry.line_of("name"), "layer-name", message)
            name = f"layer{entry.index:03d}"
        seen.setdefault(name, entry.index)
        kept.append(replace(entry, name=name) if problem else entry)
    return kept


def _check_conv1d_trap(entries: list[LayerEntry], problems: Problems) -> None:
    """Refuse the one combination of omitted pads that the compiler silently misreads.

    A 1-D convolution without `pad` changes the compiler's shared default, so a 2-D convolution
    without `pad` is padded in one axis only.
    """
    bare = [e for e in entries if e.kernel and "pad" not in e.given]
    one = next((e for e in bare if e.operator is Operator.CONV1D), None)
    two = next((e for e in bare if e.operator is not Operator.CONV1D), None)
    if one and two:
        problems.add(
            two.line,
            "conv1d-pad-trap",
            f"layers {one.index} (1-D) and {two.index} (2-D) both omit 'pad'; the compiler then "
            "pads one axis only; write 'pad' in both",
        )
