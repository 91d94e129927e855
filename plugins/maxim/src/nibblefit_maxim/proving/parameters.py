"""Weight columns and biases: every layer has places of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.parts import PROCESSORS, Part
from nibblefit_maxim.proving.violation import BIAS, WEIGHTS, Violation

_STEP = 4


def parameter_violations(
    layers: Sequence[HardwareLayer], plan: MemoryPlan, part: Part
) -> Iterator[Violation]:
    """Yield weights that overlap or leave their memory, and biases that do not fit."""
    columns = np.full((PROCESSORS, part.kernel_room(0)), -1, dtype=np.int64)
    fill = [0] * 4
    for index, (layer, placed) in enumerate(zip(layers, plan.layers, strict=True)):
        for group in placed.bias_groups:
            fill[group] += -(-placed.bias_bytes // len(placed.bias_groups))
        if not layer.has_weights:
            continue
        first, stop = placed.kernel_column, placed.kernel_column + placed.kernel_words
        active = [p for p in range(PROCESSORS) if placed.processors >> p & 1]
        room = min((part.kernel_room(p) for p in active), default=0)
        if first < 0 or first % _STEP or stop > room:
            text = f"weights in columns {first} to {stop} of {room}"
            yield Violation(WEIGHTS, index, placed.name, text)
            continue
        if (columns[active, first:stop] >= 0).any():
            other = int(columns[active, first:stop].max())
            text = f"weights overlap those of '{plan.layers[other].name}'"
            yield Violation(WEIGHTS, index, placed.name, text)
        columns[active, first:stop] = index
        if layer.eltwise is not None and placed.bias_groups and not part.has_biased_eltwise:
            text = "combines operands and has a bias; this device does not do both"
            yield Violation(BIAS, index, placed.name, text, "bias_group")
    for quadrant, size in enumerate(fill):
        if size > part.bias_bytes:
            text = f"{size} bias bytes in quadrant {quadrant}, which has {part.bias_bytes}"
            yield Violation(BIAS, 0, plan.layers[0].name, text, "bias_group")
