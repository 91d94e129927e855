"""Activation thresholds: the power of two that each layer's output needs, measured on real data.

A tensor with threshold T is stored with 7 − T fractional bits. T is measured on the float network:
outliers are dropped, T0 is the smallest power of two that holds the rest, and of T0 … T0 − 4 the
one with the least squared 8-bit error is kept. Tensors that the hardware combines without shifting
(operands of an addition, members of a concatenation, everything a layer without weights hands on)
share one threshold, that of the network's input being 0; sums count where they are formed, because
they are clipped to the same range.

Source: ai8x-training pull request 331 (activation-threshold QAT).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.layers import Eltwise, HardwareLayer

#: Thresholds below T0 that are tried.
CANDIDATES = 5
#: Values kept per tensor; more change the choice of a power of two no further.
_SAMPLES = 200_000
_BITWISE = (Eltwise.OR, Eltwise.XOR)
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]


def adds(layer: HardwareLayer) -> bool:
    """Return whether a layer adds or subtracts, so that its result may outgrow its operands."""
    return layer.eltwise in (Eltwise.ADD, Eltwise.SUB)


def sum_of(layer: HardwareLayer) -> str:
    """Return the name under which the sum inside a layer is measured."""
    return f"{layer.name}:sum"


class ThresholdMeter:
    """Collects a bounded, evenly spread sample of the values of every layer's tensor."""

    def __init__(self, fused: FusedNetwork) -> None:
        self._measured = [
            layer.tensor
            for layer in fused.layers
            if layer.has_weights and not layer.identity and not layer.wide
        ]
        self._measured += [sum_of(layer) for layer in fused.layers if adds(layer)]
        self._samples: dict[str, list[FloatArray]] = {name: [] for name in self._measured}

    def add(self, name: str, values: FloatArray) -> None:
        """Add one batch of a tensor; tensors that need no threshold are ignored."""
        if name in self._samples:
            flat = values.reshape(-1)
            step = max(1, flat.size // (_SAMPLES // 8))
            self._samples[name].append(flat[::step].astype(np.float64))

    def values(self) -> dict[str, FloatArray]:
        """Return what was collected, by tensor."""
        return {name: np.concatenate(parts) for name, parts in self._samples.items() if parts}


def choose_thresholds(
    fused: FusedNetwork, values: dict[str, FloatArray], deviations: float
) -> dict[str, int]:
    """Return T for every 8-bit tensor of the network, the input included.

    Args:
        fused: The network.
        values: Sampled float values by tensor.
        deviations: Values further from the mean than this many standard deviations are dropped.
    """
    sums = {layer.inputs[0]: sum_of(layer) for layer in fused.layers if adds(layer)}
    bitwise = {name for layer in fused.layers if layer.eltwise in _BITWISE for name in layer.inputs}
    chosen: dict[str, int] = {}
    for group in _groups(fused):
        # Bits keep their meaning only at the scale of the network's input.
        if fused.input in group or bitwise & group:
            chosen.update(dict.fromkeys(group, 0))
            continue
        names = [*sorted(group), *(sums[name] for name in sorted(group) if name in sums)]
        found = [values[name] for name in names if name in values]
        threshold = max((threshold_of(v, deviations) for v in found), default=0)
        chosen.update(dict.fromkeys(group, threshold))
    return chosen


def threshold_of(values: FloatArray, deviations: float) -> int:
    """Return the best T for one tensor."""
    kept = values[np.abs(values - values.mean()) <= deviations * values.std()]
    largest = float(np.abs(kept).max(initial=0.0))
    if largest == 0.0:
        return 0
    start = math.ceil(math.log2(largest))
    errors = [_squared_error(values, start - step) for step in range(CANDIDATES)]
    return start - int(np.argmin(errors))


def _squared_error(values: FloatArray, threshold: int) -> float:
    steps = 2.0 ** (7 - threshold)
    codes = np.clip(np.floor(values * steps + 0.5), -128, 127)
    return float(np.square(codes / steps - values).sum())


def _groups(fused: FusedNetwork) -> list[set[str]]:
    """Return sets of tensors that must share a threshold; wide tensors have none."""
    parent: dict[str, str] = {fused.input: fused.input}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for layer in fused.layers:
        if layer.wide:
            members: Iterable[str] = layer.inputs
        else:
            members = _tied(layer)
            root(layer.tensor)
        first, *others = [root(name) for name in members]
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[str, set[str]] = {}
    for name in parent:
        groups.setdefault(root(name), set()).add(name)
    return list(groups.values())


def _tied(layer: HardwareLayer) -> tuple[str, ...]:
    moves_codes = layer.identity or not layer.has_weights
    return (*layer.inputs, layer.tensor) if moves_codes else layer.inputs
