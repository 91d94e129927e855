"""Reads the tables that are packaged with the plugin."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from nibblefit_tidl.tables.schema import OperatorTable

Generation = Literal["classic", "current"]


@cache
def operator_table(generation: Generation) -> OperatorTable:
    """Return the operator table of a generation."""
    return OperatorTable.model_validate(tomllib.loads(_text(f"{generation}.toml")))


@cache
def rewrites() -> Mapping[str, str]:
    """Return TI's rewrites: name → what it does."""
    return MappingProxyType(tomllib.loads(_text("rewrites.toml")))


def _text(name: str) -> str:
    return files("nibblefit_tidl.tables").joinpath(name).read_text(encoding="utf-8")
