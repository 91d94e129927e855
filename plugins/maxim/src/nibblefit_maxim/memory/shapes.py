"""Shapes of networks that no arrangement in memory can serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.arranging import interleaves_well
from nibblefit_maxim.memory.processors import passes, processors_per_pass
from nibblefit_maxim.memory.shortage import SHAPE_RULE, Shortage
from nibblefit_maxim.memory.wishes import input_shape
from nibblefit_maxim.parts import PROCESSORS, PROCESSORS_PER_INSTANCE


def shape_shortages(layers: Sequence[HardwareLayer], network_input: str) -> list[Shortage]:
    """Return everything about the graph that keeps it from being placed at all."""
    found: list[Shortage] = []
    if not any(network_input in layer.inputs for layer in layers):
        return [_shape("", f"no layer reads the network's input '{network_input}'", 0, 1)]
    made = {network_input, *(layer.tensor for layer in layers)}
    if not all(made.issuperset(layer.inputs) for layer in layers):
        missing = next(name for layer in layers for name in layer.inputs if name not in made)
        return [_shape("", f"no layer writes '{missing}', which is read", 1, 0)]
    channels = {network_input: input_shape(layers, network_input)[0]}
    wide: set[str] = set()
    for layer in layers:
        found += _of_sources(layer, channels, wide)
        if layer.packed and layer.inputs[0] != network_input:
            found.append(
                _shape(
                    layer.name,
                    f"reads {layer.packed} operands out of '{layer.inputs[0]}'; only the network's "
                    "input can hold several: its channels cannot become operands where they lie",
                    layer.packed, 1, "write each operand with a layer of its own",
                )
            )  # fmt: skip
        if not found:
            found += _of_concatenation(layer, channels)
        channels[layer.tensor] = layer.out_channels
        if layer.wide:
            wide.add(layer.tensor)
    return found


def _of_sources(
    layer: HardwareLayer, channels: dict[str, int], wide: set[str]
) -> Iterator[Shortage]:
    for name in layer.inputs:
        if name not in channels:
            yield _shape(layer.name, f"reads '{name}', which no layer before it writes", 1, 0)
        if name in wide:
            yield _shape(layer.name, f"reads '{name}', which is written in 32 bits", 32, 8,
                         "only outputs of the network may be 32 bits wide")  # fmt: skip
    known = [channels[name] for name in layer.inputs if name in channels]
    if len(known) != len(layer.inputs) or layer.packed:
        return
    arriving = known[0] if layer.eltwise is not None else sum(known)
    if arriving != layer.in_channels or (layer.eltwise is not None and len(set(known)) > 1):
        yield _shape(
            layer.name,
            f"expects {layer.in_channels} channels, but {' and '.join(map(str, known))} arrive",
            max(arriving, layer.in_channels), min(arriving, layer.in_channels),
            "memory keeps channels apart; only rows and columns can be reshaped",
        )  # fmt: skip


def _of_concatenation(layer: HardwareLayer, channels: dict[str, int]) -> Iterator[Shortage]:
    if layer.eltwise is not None or len(layer.inputs) == 1:
        return
    members = [channels[name] for name in layer.inputs]
    total = sum(members)
    text = "+".join(map(str, members))
    step = PROCESSORS_PER_INSTANCE
    if total > PROCESSORS:
        if not interleaves_well(members):
            many, each = passes(total), processors_per_pass(total)
            yield _shape(
                layer.name,
                f"concatenates {text} channels, which are read in {many} passes of {each}; every "
                "member must fill one pass",
                len(members), many,
                f"use {many} members of {each} channels, or at most {PROCESSORS} channels in all",
            )  # fmt: skip
        return
    room = sum(-(-count // step) * step for count in members[:-1]) + members[-1]
    stays = layer.operator is Operator.PASSTHROUGH or layer.groups > 1
    if room > PROCESSORS or (stays and room != total):
        yield _shape(
            layer.name,
            f"concatenates {text} channels; members start at multiples of {step} processors and "
            f"take {room} of {PROCESSORS}"
            + (", and a layer that keeps its channels in place cannot skip any" if stays else ""),
            room, PROCESSORS if room > PROCESSORS else total,
            f"use multiples of {step} channels in all members but the last",
        )  # fmt: skip


def _shape(layer: str, message: str, value: int, limit: int, hint: str = "") -> Shortage:
    return Shortage(
        SHAPE_RULE, layer, message,
        hint or "list the layers so that each tensor is written before it is read",
        max(value, limit + 1), limit, "tensors",
    )  # fmt: skip
