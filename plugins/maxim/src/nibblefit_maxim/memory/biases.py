"""Bias memory: which quadrant holds which layer's biases.

Source: ai8x-synthesis commit ab4f4c0, `izer/biases.py` and `izer/backend/max7800x.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import quadrants
from nibblefit_maxim.memory.shortage import BIAS_RULE, Shortage
from nibblefit_maxim.parts import QUADRANTS, Part


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

    Depthwise biases spread over all quadrants of their layer. On the MAX78002 no bias may lie in
    a quadrant of a layer that combines operands in front of a convolution: the compiler refuses
    every such layer "whose quadrant holds a bias", its own or another's.
    """
    allowed = sorted({q for processors in input_maps for q in quadrants(processors)})
    if not part.has_biased_eltwise:
        allowed = [q for q in allowed if q not in _kept_free(needs, input_maps)]
    fill = dict.fromkeys(allowed, 0)
    groups: list[tuple[int, ...]] = [()] * len(needs)
    sizes = [_size(index, need, part, streaming) for index, need in enumerate(needs)]
    shortages = []
    for index in sorted(range(len(needs)), key=lambda i: (-sizes[i], i)):
        if sizes[index] == 0:
            continue
        wide = quadrants(input_maps[index]) if needs[index].layer.groups > 1 else ()
        if not fill or not set(wide) <= set(fill):
            shortages.append(_no_quadrant(needs[index], part))
            continue
        groups[index] = wide or (min(fill, key=lambda q: (fill[q], q)),)
        share = -(-sizes[index] // len(groups[index]))
        for quadrant in groups[index]:
            fill[quadrant] += share
        worst = max(fill[q] for q in groups[index])
        if worst > part.bias_bytes:
            shortages.append(_too_many(needs[index], worst, share, len(allowed), part))
    used = tuple(fill.get(q, 0) for q in range(QUADRANTS))
    return BiasPlan(tuple(groups), tuple(sizes), used), shortages


def _size(index: int, need: LayerNeeds, part: Part, streaming: int) -> int:
    """Return a layer's bytes; a first layer that streams has one more on the MAX78000."""
    extra = 1 if streaming and index == 0 and not part.has_depthwise else 0
    return need.bias_bytes + extra if need.bias_bytes else 0


def _kept_free(needs: Sequence[LayerNeeds], input_maps: Sequence[int]) -> set[int]:
    return {
        quadrant
        for need, processors in zip(needs, input_maps, strict=True)
        if need.layer.eltwise is not None and need.layer.has_weights
        for quadrant in quadrants(processors)
    }


def _too_many(need: LayerNeeds, worst: int, size: int, count: int, part: Part) -> Shortage:
    return Shortage(
        BIAS_RULE, need.layer.name,
        f"{need.bias_bytes} biases; the emptiest of {count} quadrants has "
        f"{part.bias_bytes - worst + size} bytes left",
        "train this layer without bias, or with fewer channels",
        worst, part.bias_bytes, "bytes",
    )  # fmt: skip


def _no_quadrant(need: LayerNeeds, part: Part) -> Shortage:
    return Shortage(
        BIAS_RULE, need.layer.name,
        f"{need.bias_bytes} biases have no quadrant: layers that combine operands in front of a "
        f"convolution use it, and the {part.title} keeps no bias there",
        "put the addition into a layer of its own, or train without biases",
        need.bias_bytes, 0, "bytes",
    )  # fmt: skip
