"""What to say when weight memory is short."""

from __future__ import annotations

from nibblefit_maxim.memory.arrangement import Arrangement
from nibblefit_maxim.memory.feed import Feed
from nibblefit_maxim.memory.maps import Maps
from nibblefit_maxim.memory.shortage import Shortage
from nibblefit_maxim.parts import Part


def weight_shortages(
    arrangement: Arrangement, maps: Maps, feed: Feed, part: Part
) -> list[Shortage]:
    """Return the shortage on the fullest processor, naming the layer that takes most there."""
    peak = max(maps.used)
    if peak <= part.kernel_words:
        return []
    fullest = maps.used.index(peak)
    needs = [feed.need(i, step.need) for i, step in enumerate(arrangement.steps)]
    there = [i for i, read in enumerate(maps.inputs) if read >> fullest & 1]
    largest = needs[max(there, key=lambda i: needs[i].kernel_words)]
    return [
        Shortage(
            "memory.weights", largest.layer.name,
            f"weights need {peak} words per processor; the {part.title} has {part.kernel_words}, "
            f"{peak - part.kernel_words} too few; this layer alone takes {largest.kernel_words} on "
            f"{largest.in_processors} processors",
            "use fewer channels here, or weight_bits = 4 for this layer",
            peak, part.kernel_words, "words",
        )
    ]  # fmt: skip
