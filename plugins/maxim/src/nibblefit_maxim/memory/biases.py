"""Bias memory: which quadrant holds which layer's biases.

Source: ai8x-synthesis commit ab4f4c0, `izer/biases.py` and `izer/backend/max7800x.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import quadrants
from nibblefit_maxim.memory.shortage import BIAS_RULE, Shortage
from nibblefit_maxim.parts import PROCESSORS_PER_QUADRANT, QUADRANTS, Part


@dataclass(frozen=True, slots=True)
class BiasPlan:
    """Quadrants by layer (empty without bias), bytes by layer, and used bytes by quadrant."""

    groups: tuple[tuple[int, ...], ...]
    sizes: tuple[int, ...]
    used: tuple[int, ...]


def plan_biases(
    needs: Sequence[LayerNeeds], input_maps: Sequence[int], part: Part, *, streaming: int
) -> tuple[BiasPlan, list[Shortage]]:
    """Place all biases, largest first into the emptiest quadrant that the network uses.

    Depthwise layers come first: their biases lie in every quadrant of their layer, one byte for
    each of its processors and passes, used or not.
    """
    allowed = sorted({q for processors in input_maps for q in quadrants(processors)})
    fill = dict.fromkeys(allowed, 0)
    groups: list[tuple[int, ...]] = [()] * len(needs)
    spread = [
        quadrants(processors) if need.layer.groups > 1 else ()
        for need, processors in zip(needs, input_maps, strict=True)
    ]
    sizes = [_size(i, need, part, streaming, len(spread[i])) for i, need in enumerate(needs)]
    shortages = []
    for index in sorted(range(len(needs)), key=lambda i: (not spread[i], -sizes[i], i)):
        if sizes[index] == 0:
            continue
        wide = spread[index]
        groups[index] = wide or (min(fill, key=lambda q: (fill[q], q)),)
        share = -(-sizes[index] // len(groups[index]))
        for quadrant in groups[index]:
            fill[quadrant] += share
        worst = max(fill[q] for q in groups[index])
        if worst > part.bias_bytes:
            shortages.append(_too_many(needs[index], worst, share, len(allowed), part))
    used = tuple(fill.get(q, 0) for q in range(QUADRANTS))
    return BiasPlan(tuple(groups), tuple(sizes), used), shortages


def _size(index: int, need: LayerNeeds, part: Part, streaming: int, spread: int) -> int:
    """Return a layer's bytes; a first layer that streams has one more on the MAX78000.

    `spread` is the number of quadrants over which a depthwise layer's biases lie.
    """
    if spread and need.bias_bytes:
        return spread * PROCESSORS_PER_QUADRANT * need.out_passes
    extra = 1 if streaming and index == 0 and not part.has_depthwise else 0
    return need.bias_bytes + extra if need.bias_bytes else 0


def _too_many(need: LayerNeeds, worst: int, size: int, count: int, part: Part) -> Shortage:
    return Shortage(
        BIAS_RULE, need.layer.name,
        f"{need.bias_bytes} biases; the emptiest of {count} quadrants has "
        f"{part.bias_bytes - worst + size} bytes left",
        "train this layer without bias, or with fewer channels",
        worst, part.bias_bytes, "bytes",
    )  # fmt: skip
