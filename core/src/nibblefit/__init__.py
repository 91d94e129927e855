"""Fit neural networks to fixed-point edge chips.

The names below are loaded when they are first used, so that importing nibblefit stays quick and
free of torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nibblefit.hooks import hookimpl
    from nibblefit.recipe import Recipe
    from nibblefit.recipe_file import read_recipe
    from nibblefit.runner import load_recipe
    from nibblefit.runner import run as run_recipe
    from nibblefit.workspace import OpenRun, open_run

__version__ = "0.1.0"

__all__ = [
    "OpenRun",
    "Recipe",
    "__version__",
    "hookimpl",
    "load_recipe",
    "open_run",
    "read_recipe",
    "run_recipe",
]

#: Public name → module it lives in and its name there.
_HOMES = {
    "OpenRun": ("nibblefit.workspace", "OpenRun"),
    "Recipe": ("nibblefit.recipe", "Recipe"),
    "hookimpl": ("nibblefit.hooks", "hookimpl"),
    "load_recipe": ("nibblefit.runner", "load_recipe"),
    "open_run": ("nibblefit.workspace", "open_run"),
    "read_recipe": ("nibblefit.recipe_file", "read_recipe"),
    "run_recipe": ("nibblefit.runner", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nibblefit' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
