"""Quantization settings per hardware layer, from the recipe's general and per-layer tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from nibblefit.errors import RecipeError
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.numerics import WEIGHT_BITS
from nibblefit_maxim.options import MaximOptions


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """How one layer's weights become codes."""

    weight_bits: int = 8
    shift_quantile: float = 1.0


def matches(name: str, pattern: str) -> bool:
    """Return whether a name or glob of a recipe means a layer.

    The fused classes keep their operator in a submodule ``op``; their own path stands for it.
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name.removesuffix(".op"), pattern)


def layer_settings(
    network: FusedNetwork,
    options: MaximOptions,
    overrides: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, int] | None = None,
) -> dict[str, LayerSettings]:
    """Return the settings of every layer with weights, by layer name.

    Args:
        network: Its hardware layers.
        options: Settings for all layers.
        overrides: Layer name or glob → ``weight_bits`` and ``shift_quantile``; later ones win.
        found: Weight widths by layer name that a search found; overrides win over them.

    Raises:
        RecipeError: Names that match no layer, unknown keys and bad values, all together.
    """
    names = [x.name for x in network.layers if x.has_weights and not x.identity]
    widths = {**dict.fromkeys(names, options.weight_bits), **(found or {})}
    chosen: dict[str, dict[str, Any]] = {
        name: {"weight_bits": widths[name], "shift_quantile": options.shift_quantile}
        for name in names
    }
    problems = []
    for pattern, values in overrides.items():
        matched = [name for name in chosen if matches(name, pattern)]
        if not matched:
            near = get_close_matches(pattern, chosen, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            problems.append(f"quantize.layers: '{pattern}' matches no layer with weights{meant}")
        problems += [f"quantize.layers.'{pattern}': {text}" for text in setting_problems(values)]
        for name in matched:
            chosen[name].update(values)
    if problems:
        raise RecipeError(
            "the per-layer settings cannot be used",
            hint="layers: " + ", ".join(chosen),
            problems=problems,
        )
    return {name: LayerSettings(**values) for name, values in chosen.items()}


def setting_problems(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the settings of one layer."""
    found = []
    for key, value in values.items():
        if key == "weight_bits":
            if isinstance(value, bool) or value not in WEIGHT_BITS:
                found.append(f"weight_bits is {value!r}; expected 8, 4, 2 or 1")
        elif key == "shift_quantile":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                found.append(f"shift_quantile is {value!r}; expected above 0 and at most 1")
        else:
            found.append(f"unknown key '{key}'; expected weight_bits or shift_quantile")
    return found
