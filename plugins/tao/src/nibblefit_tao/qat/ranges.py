"""Ranges that quantized training ended with, kept with the model for the quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model

#: Key among the model's arrays, (tensors,), and of the tensors' names among its facts.
RANGES = "tao_ranges"


def ranges_of(model: Model) -> dict[str, float]:
    """Return the largest magnitudes kept with a model; empty before quantized training."""
    found = model.arrays.get(RANGES)
    if found is None:
        return {}
    names = model.extra[RANGES]
    return {name: float(value) for name, value in zip(names, found.tolist(), strict=True)}


def with_ranges(model: Model, ranges: Mapping[str, float]) -> Model:
    """Return the model with largest magnitudes by tensor."""
    array = np.array(list(ranges.values()), np.float32)
    return replace(
        model,
        extra=frozen_mapping({**model.extra, RANGES: list(ranges)}),
        arrays=frozen_mapping({**model.arrays, RANGES: array}),
    )
