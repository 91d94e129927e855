"""Quantization settings per hardware layer, from the recipe's general and per-layer tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from nibblefit.errors import RecipeError
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.numerics import BINARY, WEIGHT_BITS
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import Part


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """How one layer's weights become codes.

    Attributes:
        weight_bits: 8, 4, 2 or 1.
        shift_quantile: Share of the weights that the scale must hold; binary weights have none.
        is_binary: Weights are plus and minus one, in one bit.
    """

    weight_bits: int = 8
    shift_quantile: float = 1.0
    is_binary: bool = False

    @property
    def width(self) -> int | str:
        """The width as recipes state it."""
        return BINARY if self.is_binary else self.weight_bits

    def with_width(self, width: int | str) -> LayerSettings:
        """Return the same settings with a width as recipes state it."""
        is_binary = width == BINARY
        bits = 1 if is_binary else int(width)
        return replace(self, weight_bits=bits, is_binary=is_binary)


def made_settings(values: Mapping[str, Any]) -> LayerSettings:
    """Return settings from a recipe's ``weight_bits`` and ``shift_quantile``, once checked."""
    made = LayerSettings(shift_quantile=values.get("shift_quantile", 1.0))
    return made.with_width(values.get("weight_bits", 8))


def matches(name: str, pattern: str) -> bool:
    """Return whether a name or glob of a recipe means a layer.

    The fused classes keep their operator in a submodule ``op``; their own path stands for it.
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name.removesuffix(".op"), pattern)


def layer_settings(
    network: FusedNetwork,
    options: MaximOptions,
    overrides: Mapping[str, Mapping[str, Any]],
    found: Mapping[str, int | str] | None = None,
    *,
    part: Part | None = None,
) -> dict[str, LayerSettings]:
    """Return the settings of every layer with weights, by layer name.

    Args:
        network: Its hardware layers.
        options: Settings for all layers.
        overrides: Layer name or glob → ``weight_bits`` and ``shift_quantile``; later ones win.
        found: Weight widths by layer name that a search found; overrides win over them.
        part: The device, whose limits are checked; None: a device that can do everything.

    Raises:
        RecipeError: Names that match no layer, unknown keys and bad values, all together.
    """
    names = [x.name for x in network.layers if x.has_weights and not x.identity]
    widths: dict[str, int | str] = {
        **dict.fromkeys(names, options.weight_bits), **(found or {})
    }  # fmt: skip
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
    made = {} if problems else {name: made_settings(values) for name, values in chosen.items()}
    problems += binary_problems(network, made, part)
    if problems:
        raise RecipeError(
            "the per-layer settings cannot be used",
            hint="layers: " + ", ".join(chosen),
            problems=problems,
        )
    return made


def binary_problems(
    network: FusedNetwork, settings: Mapping[str, LayerSettings], part: Part | None
) -> list[str]:
    """Return why layers cannot have the binary weights that they should have."""
    binary = [x for x in network.layers if x.name in settings and settings[x.name].is_binary]
    if binary and part is not None and not part.has_binary:
        names = ", ".join(f"'{layer.name}'" for layer in binary)
        message = (
            f"the {part.title} has no binary weights, which {names} should have; use 1 bit, whose "
            'codes are -1 and 0, or part = "max78002"'
        )
        return [message]
    return [
        f"layer '{layer.name}' cannot have binary weights: it runs with zeros among its weights "
        f"({'; '.join(layer.notes)}), and binary weights have no zero; use 1 bit or more"
        for layer in binary
        if layer.embedding is not None and layer.embedding.has_zeros
    ]


def setting_problems(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the settings of one layer."""
    found = []
    for key, value in values.items():
        if key == "weight_bits":
            if isinstance(value, bool) or value not in (*WEIGHT_BITS, BINARY):
                found.append(f"weight_bits is {value!r}; expected 8, 4, 2, 1 or 'binary'")
        elif key == "shift_quantile":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                found.append(f"shift_quantile is {value!r}; expected above 0 and at most 1")
        else:
            found.append(f"unknown key '{key}'; expected weight_bits or shift_quantile")
    return found
