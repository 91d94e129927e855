"""Layer names that the vendor's files can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Names with a meaning of their own in `in_sequences` and `next_sequence`.
_RESERVED = {"input", "stop"}


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return a name for the files per layer name: unique in lower case, no digit first.

    A leading digit would be read as a layer number.
    """
    taken = set(_RESERVED)
    chosen: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z_.]", "_", name).strip(".") or "layer"
        plain = f"layer_{plain}" if plain[0].isdigit() else plain
        unique, count = plain, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{plain}_{count}"
        taken.add(unique.lower())
        chosen[name] = unique
    return chosen


def architecture_name(text: str) -> str:
    """Return a name for `arch`, file names and C symbols: lower case, digits, underscores."""
    return re.sub(r"[^0-9a-z_]", "_", text.lower()).strip("_") or "network"
