"""Rules for processor maps, one layer at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.proving.violation import MAP, Violation


def map_violations(layers: Sequence[HardwareLayer], plan: MemoryPlan) -> list[Violation]:
    """Return every map with a wrong number of processors, or with processors it may not use."""
    found = []
    for index, (layer, placed) in enumerate(zip(layers, plan.layers, strict=True)):
        for key, channels, bits in (
            ("processors", layer.in_channels, placed.processors),
            ("output_processors", layer.out_channels, placed.output_processors),
        ):
            wanted = _expected_count(channels)
            if bits.bit_count() != wanted:
                text = f"{channels} channels need {wanted} processors; {key} has {bits.bit_count()}"
                found.append(Violation(MAP, index, placed.name, text, key))
        found += [Violation(MAP, index, placed.name, text, key)
                  for key, text in _of_layer(index, layer, placed, plan)]  # fmt: skip
    if not any(placed.processors & 0xFFFF for placed in plan.layers) and not (
        plan.layers[-1].output_processors & 0xFFFF
    ):
        found.append(Violation(MAP, 0, plan.layers[0].name, "no layer uses quadrant 0",
                               "processors"))  # fmt: skip
    return found


def _expected_count(channels: int) -> int:
    """Channels spread evenly over passes; above 64 in steps of four, 64 at most."""
    if channels <= 64:
        return channels
    many = (channels + 63) // 64
    return min(((channels + many - 1) // many + 3) // 4 * 4, 64)


def _of_layer(
    index: int, layer: HardwareLayer, placed: LayerPlan, plan: MemoryPlan
) -> Iterator[tuple[str, str]]:
    if layer.operator is Operator.PASSTHROUGH:
        for quadrant in range(4):
            read = placed.processors >> 16 * quadrant & 0xFFFF
            run = ((1 << read.bit_count()) - 1) * (read & -read)
            if placed.output_processors >> 16 * quadrant & 0xFFFF != run:
                yield (
                    "output_processors",
                    (
                        f"without a convolution the outputs of quadrant {quadrant} must be the run "
                        "of processors that starts at the first input"
                    ),
                )
                break
    if plan.is_chw and index == 0:
        groups = [placed.processors >> 4 * i & 0xF for i in range(16)]
        if any(group.bit_count() > 1 for group in groups):
            yield "processors", "CHW data needs one processor per group of four"
    if layer.groups > 1:
        first = (placed.output_processors & -placed.output_processors).bit_length() - 1
        if first % 4:
            yield "output_processors", "a depthwise layer's outputs must start at a multiple of 4"
