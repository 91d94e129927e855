"""How the network's input gets in: whole in memory, or through the FIFO into streaming layers.

Source: ai8x-synthesis commit ab4f4c0, `izer/izer.py` (FIFO processors).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.arrangement import Arrangement, Origin
from nibblefit_maxim.memory.buffers import streams_within
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.parts import (
    PROCESSORS,
    PROCESSORS_PER_INSTANCE,
    PROCESSORS_PER_QUADRANT,
    Part,
)

#: Leading layers that may stream.
MAX_STREAMING = 8
#: Processors that the FIFO feeds with HWC data: the first four of each quadrant.
_FIFO_PROCESSORS = tuple(p for p in range(PROCESSORS) if p % PROCESSORS_PER_QUADRANT < 4)
#: Input sides of a single memory instance that hold one channel each.
_INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE


@dataclass(frozen=True, slots=True)
class Feed:
    """A way to read the network's input.

    Attributes:
        is_chw: One channel after another, each in its own memory instance.
        streaming: Leading layers that stream; 0 stores everything.
        input_map: Processors of the input where its form prescribes them; 0: free.
    """

    is_chw: bool = False
    streaming: int = 0
    input_map: int = 0

    def need(self, index: int, need: LayerNeeds) -> LayerNeeds:
        """Return a layer as the compiler runs it.

        A 1×1 convolution in or behind a streaming layer becomes a padded 3×3 one.
        """
        layer = need.layer
        is_near = self.streaming and index <= self.streaming
        if not is_near or layer.operator is not Operator.CONV2D or layer.kernel != (1, 1):
            return need
        return replace(need, layer=replace(layer, kernel=(3, 3), pad=(1, 1)))


def feeds(arrangement: Arrangement, part: Part) -> Iterator[Feed]:
    """Yield the ways to read the input, the plainest first."""
    yield Feed()
    first = arrangement.steps[0]
    channels = first.need.layer.in_channels
    readers = [step for step in arrangement.steps if 0 in step.reads]
    seat = arrangement.joints.seat(0)
    is_bound = any(
        arrangement.joints.seat(copy.number).group == seat.group for copy in arrangement.copies[1:]
    )
    if len(readers) > 1 or is_bound or 0 in arrangement.outputs:
        return
    if channels <= _INSTANCES and len(first.need.layer.input_shape) == 3:
        yield Feed(True, 0, sum(1 << (PROCESSORS_PER_INSTANCE * c) for c in range(channels)))
    if channels > len(_FIFO_PROCESSORS):
        return
    fifo = sum(1 << processor for processor in _FIFO_PROCESSORS[:channels])
    for count in range(1, streaming_run(arrangement) + 1):
        feed = Feed(False, count, fifo)
        needs = [feed.need(i, step.need) for i, step in enumerate(arrangement.steps[:count])]
        if streams_within(needs, count, part, is_chw=False):
            yield feed


def streaming_run(arrangement: Arrangement) -> int:
    """Return how many leading layers may stream: a chain of 2-D convolutions, one reader each."""
    count = 0
    before = 0
    for index, step in enumerate(arrangement.steps[:MAX_STREAMING]):
        readers = [other for other in arrangement.steps if before in other.reads]
        if step.reads != (before,) or len(readers) != 1 or before in arrangement.outputs:
            break
        if not _can_stream(step.need.layer) or step.origin is not Origin.NETWORK or step.read_gap:
            break
        if arrangement.copies[before].gap:
            break
        before = step.writes
        count = index + 1
    return count


def _can_stream(layer: HardwareLayer) -> bool:
    return (
        layer.operator is Operator.CONV2D
        and layer.eltwise is None
        and layer.groups == 1
        and (max(layer.pad) >= 1 or layer.kernel == (1, 1))
    )
