"""The command line: thin commands over the same functions a Python script would call."""

from __future__ import annotations

from nibblefit.cli.entry import main

__all__ = ["main"]
