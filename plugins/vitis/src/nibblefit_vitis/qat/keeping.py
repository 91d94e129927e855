"""Thresholds that training learned, kept with the model for the quantizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.options import Direction
from nibblefit_vitis.settings import NetworkSetting

#: Key among the model's arrays, log2 values, and of the tensors' names among its facts.
KEY = "vitis_thresholds"


def thresholds_of(model: Model) -> dict[str, float]:
    """Return log2 thresholds kept with a model, by tensor; empty before quantized training."""
    names, found = model.extra.get(KEY, ()), model.arrays.get(KEY)
    if found is None:
        return {}
    return {name: float(value) for name, value in zip(names, found, strict=True)}


def with_thresholds(model: Model, thresholds: Mapping[str, float]) -> Model:
    """Return the model with thresholds."""
    array = np.array(list(thresholds.values()), np.float64)
    return replace(
        model,
        extra=frozen_mapping({**model.extra, KEY: list(thresholds)}),
        arrays=frozen_mapping({**model.arrays, KEY: array}),
    )


def formats_of(model: Model, setting: NetworkSetting, *,
               direction: Direction = "output") -> NetworkFormats | None:  # fmt: skip
    """Return the aligned formats that training ended with, by names of `folded_graph`.

    None for a model that was not trained quantized.
    """
    from nibblefit_vitis.qat.network import QatNetwork

    thresholds = thresholds_of(model)
    if not thresholds:
        return None
    return QatNetwork(model.graph, setting, thresholds, direction=direction).formats()
