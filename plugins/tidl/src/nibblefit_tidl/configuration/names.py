"""Lists of tensor names in one text, separated by commas."""

from __future__ import annotations

from collections import Counter

from nibblefit_tidl.configuration.problems import Remark


def names_in(text: str) -> tuple[str, ...]:
    """Return the names; space around them is dropped."""
    return tuple(name.strip() for name in text.split(",")) if text.strip() else ()


def name_remarks(key: str, text: str) -> list[Remark]:
    """Return what is wrong with a list: names that are empty."""
    names = names_in(text)
    if all(names):
        return []
    return [Remark(key, f"'{key}' has an empty name between commas", "remove the extra comma")]


def repeated(text: str) -> tuple[str, ...]:
    """Return the names that a list has more than once; harmless, and often a slip."""
    return tuple(name for name, count in Counter(names_in(text)).items() if count > 1)
