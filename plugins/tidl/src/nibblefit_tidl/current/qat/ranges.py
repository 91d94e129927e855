"""Ranges that quantized training used, kept with the model for the quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit_tidl.current.ranges import Range

#: Key among the model's arrays, (tensors, 2), and the tensors' names among its facts.
RANGES = "tidl_ranges"


def ranges_of(model: Model) -> dict[str, Range]:
    """Return the ranges kept with a model, by tensor; empty before quantized training."""
    names, found = model.extra.get(RANGES, ()), model.arrays.get(RANGES)
    if found is None:
        return {}
    return {name: (float(lo), float(hi)) for name, (lo, hi) in zip(names, found, strict=True)}


def with_ranges(model: Model, ranges: Mapping[str, Range]) -> Model:
    """Return the model with ranges."""
    array = np.array(list(ranges.values()), np.float64).reshape(-1, 2)
    return replace(
        model,
        extra=frozen_mapping({**model.extra, RANGES: list(ranges)}),
        arrays=frozen_mapping({**model.arrays, RANGES: array}),
    )
