"""The order in which layers run: sorted by `sequence`, linked by `next_sequence`.

Source: ai8x-synthesis commit ab4f4c0, `izer/yamlcfg.py` and `izer/izer.py`. A layer's number is its
place among all layers sorted by `sequence`; weights are dealt out in that order. On the MAX78002
the layers then run as `next_sequence` links them. `simulated_sequence` replaces a link in the
compiler's simulation, for networks in which a snoop condition makes the device jump.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.entry import LayerEntry
from nibblefit_maxim.reading.problems import Problems

_STOP = -1


def in_order(
    entries: Sequence[LayerEntry], part: Part, problems: Problems
) -> tuple[tuple[LayerEntry, ...], tuple[LayerEntry, ...]]:
    """Return the layers that run, in the order in which they do, and those that never run.

    Args:
        entries: Layers as written, in the order of the file.
        part: The device.
        problems: Where findings go.
    """
    numbered = _numbered(entries, problems)
    order: list[int] = []
    at = 0 if numbered else _STOP
    while at != _STOP:
        if at in order:
            problems.add(
                numbered[order[-1]].line_of("next_sequence"), "in-sequences",
                f"{numbered[order[-1]].title}: goes back to {numbered[at].title}, which has run",
            )  # fmt: skip
            break
        order.append(at)
        at = _following(at, numbered, part, problems)
    run = tuple(replace(numbered[number], index=i) for i, number in enumerate(order))
    return run, tuple(entry for entry in numbered if entry.number not in order)


def _numbered(entries: Sequence[LayerEntry], problems: Problems) -> list[LayerEntry]:
    """Return the layers sorted, with their numbers."""
    stated: dict[int, LayerEntry] = {}
    sequence = 0
    for entry in entries:
        sequence = int(entry.get("sequence", sequence))
        if sequence in stated:
            problems.add(
                entry.line_of("sequence"), "in-sequences",
                f"{entry.title}: its sequence {sequence} is that of {stated[sequence].title}",
            )  # fmt: skip
            sequence = max(stated) + 1
        stated[sequence] = entry
        sequence += 1
    places = sorted(stated)
    found = [replace(stated[place], number=number) for number, place in enumerate(places)]
    moved = [number for number, place in enumerate(places) if number != place]
    refers = [entry for entry in found if _refers(entry)]
    if moved and refers:
        problems.add(
            refers[0].line_of("in_sequences"), "in-sequences",
            f"{refers[0].title}: refers to another layer while `sequence` leaves numbers out; the "
            "compiler counts names and numbers differently then",
            "number the layers without gaps",
        )  # fmt: skip
    return found


def _refers(entry: LayerEntry) -> bool:
    """Return whether a layer names another one; the input and the end need no number."""
    named = [*entry.get("in_sequences", ()), entry.get("next_sequence", _STOP),
             entry.get("simulated_sequence", _STOP), entry.get("weight_source", _STOP)]  # fmt: skip
    return any(str(item).lower() not in ("-1", "-2", "input", "stop") for item in named)


def _following(at: int, numbered: Sequence[LayerEntry], part: Part, problems: Problems) -> int:
    """Return the number of the layer that runs next; −1 at the end."""
    entry, last = numbered[at], len(numbered) - 1
    plain = at + 1 if at < last else _STOP
    following = _target(entry, "next_sequence", plain, numbered, problems)
    if following not in (_STOP, at + 1) and part.device == "MAX78000":
        problems.add(
            entry.line_of("next_sequence"), "part-limit",
            f"{entry.title}: the MAX78000 runs layers in order; 'next_sequence' can only be 'stop'",
        )  # fmt: skip
        return plain
    return _target(entry, "simulated_sequence", following, numbered, problems)


def _target(
    entry: LayerEntry, key: str, default: int, numbered: Sequence[LayerEntry], problems: Problems
) -> int:
    """Return the number that a key refers to."""
    value = entry.get(key)
    if value is None:
        return default
    word = str(value).lower()
    if word in ("stop", "-1"):
        return _STOP
    names = {other.name.lower(): other.number for other in numbered if "name" in other.given}
    found = names.get(word, value if isinstance(value, int) else None)
    if found is None or not 0 <= found < len(numbered):
        problems.add(
            entry.line_of(key), "in-sequences", f"{entry.title}: '{key}' names {value}, no layer"
        )
        return default
    return found
