"""Settings of the quantizer: one general choice, and overrides by layer name or glob."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.quantization.ranges import METHODS, Choice, Method


@dataclass(frozen=True, slots=True)
class LayerSettings:
    """What is chosen for one layer.

    Attributes:
        weight_bits: Width of its weights; None is the target's default.
        activation_bits: Width of its output; None is the target's default.
    """

    weight_bits: int | None = None
    activation_bits: int | None = None
    choice: Choice = field(default_factory=Choice)


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a whole quantization.

    Attributes:
        general: For every layer.
        layers: Layer name or glob → keys that differ: weight_bits, activation_bits, method,
            percentile. Later entries win over earlier ones.
    """

    general: LayerSettings = field(default_factory=LayerSettings)
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=frozen_mapping)

    def of(self, layer: str) -> LayerSettings:
        """Return the settings of one layer."""
        found = self.general
        for pattern, keys in self.layers.items():
            if fnmatchcase(layer, pattern):
                found = _overlaid(found, keys)
        return found


def settings(
    method: str = "mse",
    percentile: float = 99.99,
    layers: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Return settings as the recipe's ``[quantize]`` section states them.

    Raises:
        RecipeError: A method or key is unknown, or a value is out of range.
    """
    problems = _method_problems(method, "quantize.method")
    for pattern, keys in (layers or {}).items():
        problems += _key_problems(pattern, keys)
    if problems:
        raise RecipeError("quantization settings cannot be used", problems=problems)
    general = LayerSettings(choice=Choice(METHODS[method], percentile))
    return Settings(general, frozen_mapping(layers or {}))


def check_layers(chosen: Settings, graph: Graph) -> None:
    """Refuse per-layer settings whose name matches no layer of the graph.

    Raises:
        RecipeError: Lists every such name with the closest layer.
    """
    names = [node.name for node in graph.nodes] + list(graph.inputs)
    problems = []
    for pattern in chosen.layers:
        if not any(fnmatchcase(name, pattern) for name in names):
            close = difflib.get_close_matches(pattern, names, n=1, cutoff=0.4)
            nearest = f"; did you mean '{close[0]}'?" if close else ""
            problems.append(f"quantize.layers '{pattern}' matches no layer{nearest}")
    if problems:
        raise RecipeError(
            "per-layer settings name layers that do not exist",
            hint="`nibblefit inspect` lists the layers",
            problems=problems,
        )


_KEYS = ("weight_bits", "activation_bits", "method", "percentile")


def _method_problems(method: Any, where: str) -> list[str]:
    if method in METHODS:
        return []
    return [f"{where} is {method!r}; expected one of {', '.join(METHODS)}"]


def _key_problems(pattern: str, keys: Mapping[str, Any]) -> list[str]:
    where = f"quantize.layers '{pattern}'"
    problems = [
        f"{where} has the unknown key '{key}'; expected one of {', '.join(_KEYS)}"
        for key in keys
        if key not in _KEYS
    ]
    problems += _method_problems(keys.get("method", "mse"), f"{where} method")
    for key in ("weight_bits", "activation_bits"):
        value = keys.get(key, 8)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 32:
            problems.append(f"{where} {key} is {value!r}; expected an integer from 1 to 32")
    percentile = keys.get("percentile", 100.0)
    if not isinstance(percentile, int | float) or not 0 < percentile <= 100:
        problems.append(f"{where} percentile is {percentile!r}; expected 0 < value ≤ 100")
    return problems


def _overlaid(base: LayerSettings, keys: Mapping[str, Any]) -> LayerSettings:
    method = METHODS[keys["method"]] if "method" in keys else base.choice.method
    percentile = float(keys.get("percentile", base.choice.percentile))
    return replace(
        base,
        weight_bits=keys.get("weight_bits", base.weight_bits),
        activation_bits=keys.get("activation_bits", base.activation_bits),
        choice=Choice(Method(method), percentile),
    )
