"""What to say when weight memory is short."""

from __future__ import annotations

from nibblefit_maxim.memory.arrangement import Arrangement
from nibblefit_maxim.memory.feed import Feed
from nibblefit_maxim.memory.kernels import excess_words
from nibblefit_maxim.memory.maps import Maps
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.shortage import Shortage
from nibblefit_maxim.parts import Part


def weight_shortages(
    arrangement: Arrangement, maps: Maps, feed: Feed, part: Part
) -> list[Shortage]:
    """Return the shortage on the fullest processor, naming the layer that takes most there."""
    over = excess_words(maps.used, part)
    fullest = over.index(max(over))
    if over[fullest] <= 0:
        return []
    peak, room = maps.used[fullest], part.kernel_room(fullest)
    needs = [feed.need(i, step.need) for i, step in enumerate(arrangement.steps)]
    there = [i for i, read in enumerate(maps.inputs) if read >> fullest & 1]
    largest = needs[max(there, key=lambda i: needs[i].kernel_words)]
    return [
        Shortage(
            "memory.weights", largest.layer.name,
            f"weights need {peak} words per processor (fullest: {fullest}); the {part.title} has "
            f"{room}, {peak - room} too few; this layer alone takes {largest.kernel_words} on "
            f"{largest.in_processors} processors",
            "use fewer channels here, or " + _narrower(largest),
            peak, room, "words",
        )
    ]  # fmt: skip


def _narrower(need: LayerNeeds) -> str:
    """Return what would take fewer words without a change of shape."""
    if need.weight_bits > 1:
        return f"weight_bits = {need.weight_bits // 2} for this layer"
    return "fewer layers on the same channels; its weights have one bit already"
