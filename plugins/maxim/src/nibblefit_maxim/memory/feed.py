"""How the network's input gets in: whole in memory, or through the FIFO into streaming layers.

Source: ai8x-synthesis commit ab4f4c0, `izer/izer.py` (FIFO processors) and
`izer/backend/max7800x.py` (rolling buffers).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.arrangement import Arrangement, Origin
from nibblefit_maxim.memory.needs import DATA_WORD_BYTES, LayerNeeds
from nibblefit_maxim.parts import (
    PROCESSORS,
    PROCESSORS_PER_INSTANCE,
    PROCESSORS_PER_QUADRANT,
    Part,
)

#: Leading layers that may stream.
MAX_STREAMING = 8
#: Words of the rolling buffer of a first layer that reads CHW data.
_CHW_BUFFER_WORDS = 12
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


def feeds(arrangement: Arrangement) -> Iterator[Feed]:
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
        yield Feed(False, count, fifo)


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


def buffer_bytes(steps: Sequence[LayerNeeds], index: int, part: Part, *, is_chw: bool) -> int:
    """Return the bytes of a streaming layer's rolling buffer in each instance.

    The MAX78002's compiler has a formula of its own that is not published in words; twice the
    MAX78000's size is kept free there.

    Args:
        steps: The leading layers as the compiler runs them, streaming ones first.
        index: The layer.
        part: The device.
        is_chw: The network's input is CHW.
    """
    layer = steps[index].layer
    if index == 0 and is_chw:
        return _CHW_BUFFER_WORDS * DATA_WORD_BYTES
    pool = layer.pool.window[0] if layer.pool else 1
    stride = layer.pool.stride[0] if layer.pool else 1
    width = layer.input_shape[-1]
    if index == 0:
        start = ((pool - 1) * width + pool) * pool
    else:
        before = steps[index - 1].layer
        pooled = pooled_shape(before)[-1]
        taps = before.kernel[0]
        row = pooled + 2 * before.pad[0]
        start = row * (taps - 1 + pool - 1) + taps - 1 + pool + 2
    words = start + (pool - 1) * width + max(stride, pool)
    many = steps[index].in_passes
    words = -(-words // many) * many
    if part.has_read_gap:
        words *= 2
    return words * DATA_WORD_BYTES


def pooled_shape(layer: HardwareLayer) -> tuple[int, ...]:
    """Return the spatial shape behind the pooling.

    Source: ai8x-synthesis, `izer/compute.py`; equals PyTorch's rule for windows without dilation.
    """
    if layer.pool is None:
        return layer.input_shape[1:]
    pool = layer.pool
    return tuple(
        (n + s - w - d + 1) // s
        for n, w, s, d in zip(
            layer.input_shape[1:], pool.window, pool.stride, pool.dilation, strict=True
        )
    )
