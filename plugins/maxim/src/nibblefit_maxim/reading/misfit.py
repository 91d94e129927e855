"""How resolving a layer ends when it does not fit; never leaves the reader."""

from __future__ import annotations


class Misfit(Exception):  # noqa: N818 - never leaves the reader
    """A layer does not fit; its output stays unknown."""

    def __init__(self, line: int, rule: str, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.rule = rule
        self.message = message
