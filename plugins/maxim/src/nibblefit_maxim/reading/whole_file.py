"""Keys of the file as a whole, besides its layers: the rolling buffer, and what only tools use.

Source: ai8x-synthesis commit ab4f4c0, `izer/yamlcfg.py`. `unload` changes the C code that fetches
results, `snoop` watches the device while it runs; neither changes an integer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.entry import DataBuffer
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.schema import BadValueError, byte_offset, closest, processor_map
from nibblefit_maxim.reading.yaml_text import Value

_BUFFER_KEYS = frozenset({"processors", "dim", "channels", "offset", "name", "width"})
_UNLOAD_KEYS = frozenset({"processors", "dim", "channels", "offset", "width", "write_gap"})
#: Keys of either that may be missing.
_OPTIONAL = frozenset({"width", "write_gap"})
#: Registers that a snoop sequence fills.
_SNOOP_VALUES = 32


def data_buffer(root: Mapping[str, Value], problems: Problems) -> DataBuffer | None:
    """Return the rolling buffer of a file; None if it has none that can be used."""
    value = root.get("data_buffer")
    if value is None:
        return None
    items = _mappings(value, "data_buffer", _BUFFER_KEYS, problems)
    if items is None or not items:
        return None
    if len(items) > 1:
        problems.add(
            value.line, "data-buffer", f"{len(items)} data buffers; the compiler uses the first"
        )
    first = items[0]
    found: dict[str, Any] = {}
    readers: dict[str, Callable[[Any], Any]] = {
        "processors": processor_map, "channels": _count, "dim": _length, "offset": byte_offset,
        "name": _name,
    }  # fmt: skip
    for key, read in readers.items():
        try:
            found[key] = read(first[key].plain())
        except BadValueError as error:
            message = f"'{key}' of the data buffer is {first[key].plain()!r}; {error}"
            problems.add(first[key].line, "data-buffer", message)
    if len(found) < len(readers):
        return None
    return DataBuffer(
        found["name"], found["processors"], found["channels"], found["dim"], found["offset"],
        value.line,
    )  # fmt: skip


def check_tools(root: Mapping[str, Value], part: Part, problems: Problems) -> None:
    """Record what is wrong with the keys that change no integer."""
    if "unload" in root:
        _mappings(root["unload"], "unload", _UNLOAD_KEYS, problems)
    if "snoop" not in root:
        return
    value = root["snoop"]
    values = value.plain()
    if part.device == "MAX78000":
        problems.add(value.line, "part-limit", "'snoop' does not exist on the MAX78000")
    elif not isinstance(values, list) or len(values) != _SNOOP_VALUES:
        problems.add(value.line, "bad-value", f"'snoop' must be a list of {_SNOOP_VALUES} values")
    else:
        problems.add(value.line, "debug-aid", "'snoop' watches the device while it runs")


def _mappings(
    value: Value, what: str, known: frozenset[str], problems: Problems
) -> list[Mapping[str, Value]] | None:
    """Return a list of mappings with the right keys; None, and findings, if it is none."""
    items = value.content
    if not isinstance(items, list) or not all(isinstance(i.content, dict) for i in items):
        problems.add(value.line, "bad-value", f"'{what}' must be a list of mappings")
        return None
    found: list[Mapping[str, Value]] = []
    is_whole = True
    for item in items:
        entries = item.content if isinstance(item.content, dict) else {}
        for key in sorted(entries.keys() - known):
            text = f"unknown key '{key}' in '{what}'{closest(key, known)}"
            problems.add(entries[key].line, "unknown-key", text)
        missing = sorted(known - _OPTIONAL - entries.keys())
        if missing:
            text = f"'{what}' lacks {', '.join(missing)}"
            problems.add(item.line, "missing-key", text)
            is_whole = False
        found.append(entries)
    return found if is_whole else None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadValueError("expected 1 or more")
    return value


def _length(value: Any) -> int:
    """Return the positions of a buffer: one number, or one and a second of 1."""
    sides = value if isinstance(value, list) else [value, 1]
    if len(sides) != 2 or sides[1] != 1:
        raise BadValueError("expected a length; buffers roll along one axis")
    return _count(sides[0])


def _name(value: Any) -> str:
    if not isinstance(value, str) or value.lower() in ("stop", "input"):
        raise BadValueError("expected a name other than 'input' and 'stop'")
    return value
