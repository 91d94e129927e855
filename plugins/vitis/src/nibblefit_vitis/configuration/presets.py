"""Configurations that come with the plugin, by the names of the original's examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from nibblefit.errors import InputError, did_you_mean
from nibblefit_vitis.configuration.read import parse_configuration
from nibblefit_vitis.configuration.schema import Configuration

#: Preset → what it is. Source: examples of Vitis AI 3.5; ``dpu`` is what holds there without a
#: file, written as a file that its own parser accepts.
PRESETS: Mapping[str, str] = MappingProxyType({
    "dpu": "8 bits, powers of two, equalization and bias correction: for every DPU",
    "uif": "as dpu; inputs of concatenations and pools adopt the output's fix position",
    "int_config": "CPU: 8 bits, float scales from extremes",
    "gpu_quant_config": "GPU: as int_config, weights per channel, 32-bit biases, median of batches",
    "pytorch_quantize_config": "CPU: as int_config, other methods for activations, and an entry "
    "for convolutions",
})  # fmt: skip
#: The original's other examples, and what they quantize to.
REFUSED: Mapping[str, str] = MappingProxyType({
    "bfloat16_config": "bfloat16",
    "mix_precision_config": "bfloat16 and float16 beside integers",
    "gemm88_config": "float32 beside integers",
})  # fmt: skip


def preset_document(name: str) -> dict[str, Any]:
    """Return a preset as JSON.

    Raises:
        InputError: There is none of that name, or it is one whose datatypes are refused.
    """
    if name in REFUSED:
        raise InputError(f"preset '{name}' quantizes to {REFUSED[name]}; accepted is int only",
                         hint=f"use one of: {', '.join(PRESETS)}")  # fmt: skip
    if name not in PRESETS:
        raise InputError(f"there is no preset '{name}'", hint=did_you_mean(name, PRESETS))
    text = files("nibblefit_vitis.configuration").joinpath("presets", f"{name}.json").read_text()
    found: dict[str, Any] = json.loads(text)
    return found


def preset(name: str, *, parity: bool = False) -> Configuration:
    """Return a preset; arguments and errors as for `preset_document`."""
    return parse_configuration(preset_document(name), parity=parity, file=f"preset {name}")
