"""What to say when data memory is short."""

from __future__ import annotations

from nibblefit_maxim.memory.arrangement import Arrangement
from nibblefit_maxim.memory.blocks import blocks_of
from nibblefit_maxim.memory.feed import Feed
from nibblefit_maxim.memory.maps import Maps
from nibblefit_maxim.memory.shortage import DATA_RULE, Shortage
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE, Part


def data_shortage(arrangement: Arrangement, maps: Maps, feed: Feed, part: Part) -> Shortage:
    """Return what is alive together in the fullest instance, and how much too much that is."""
    blocks = blocks_of(arrangement, maps, feed, part, guarded=False)
    memory = part.instance_bytes
    worst, where, together = 0, 0, blocks
    for step in range(len(arrangement.steps)):
        alive = [block for block in blocks if block.first <= step <= block.last]
        for instance in range(PROCESSORS // PROCESSORS_PER_INSTANCE):
            here = [block for block in alive if instance in block.instances]
            size = sum(block.size for block in here)
            if size > worst:
                worst, where, together = size, step, here
    parts = ", ".join(f"'{block.name}' {block.size}" for block in together)
    layer = arrangement.steps[where].need.layer.name
    if worst <= memory:
        return Shortage(
            DATA_RULE, layer,
            f"all tensors together fit ({worst} of {memory} bytes of an instance at most), but no "
            f"offsets were found at which none overlaps; alive here: {parts}",
            "pool earlier, or shorten the longest skip connection", memory + 4, memory, "bytes",
        )  # fmt: skip
    return Shortage(
        DATA_RULE, layer,
        f"the tensors alive together ({parts} bytes) need {worst - memory} bytes more than the "
        f"{memory} of a data-memory instance",
        "pool earlier, use fewer channels above 64, shorten skip connections, or use a smaller "
        "input", worst, memory, "bytes",
    )  # fmt: skip
