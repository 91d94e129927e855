"""Checks of sizes that no placement can mend: channels, sides, passes, weights and biases.

Source: ai8x-synthesis commit ab4f4c0, `izer/izer.py`, `izer/kernels.py` and
`izer/backend/max7800x.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from nibblefit_maxim.layers import Operator
from nibblefit_maxim.memory.processors import bits, quadrants
from nibblefit_maxim.parts import (
    MAX_FLATTEN_FEATURES,
    MAX_FLATTEN_PIXELS,
    MAX_PASSES,
    MAX_PIXEL_PASSES,
    PROCESSORS,
    PROCESSORS_PER_INSTANCE,
    QUADRANTS,
    Part,
)
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.placed import Placed, output_map
from nibblefit_maxim.reading.problems import Problems

_WORD_BITS = 72
_COLUMN_STEP = 4


def check_limits(
    network: NetworkEntry, placed: Sequence[Placed], part: Part, problems: Problems
) -> None:
    """Record every limit of the part that a layer or the network breaks."""
    for item in placed:
        for key, rule, message in _of_layer(item, part):
            problems.add(item.entry.line_of(key), rule, f"{item.entry.title}: {message}")
    _check_weights(network, placed, part, problems)
    _check_biases(network, placed, part, problems)


def _of_layer(item: Placed, part: Part) -> Iterator[tuple[str, str, str]]:
    layer, has = item.layer, f"the {part.title} has"
    channels = max(layer.in_channels, item.output_shape[0])
    if channels > part.max_channels and not layer.flatten:
        yield "", "part-limit", f"{channels} channels; {has} {part.max_channels}"
    side = max((*layer.input_shape[1:], *item.output_shape[1:]), default=1)
    if side > part.max_side:
        yield "", "part-limit", f"{side} rows or columns; {has} {part.max_side}"
    if item.in_passes > MAX_PASSES:
        yield "", "part-limit", f"{item.in_passes} input passes; {has} {MAX_PASSES}"
    if layer.input_pixels * item.in_passes >= MAX_PIXEL_PASSES:
        yield "", "part-limit", f"pixels times passes reach {MAX_PIXEL_PASSES}"
    if layer.flatten and layer.input_pixels > MAX_FLATTEN_PIXELS:
        yield "flatten", "flatten", f"{layer.input_pixels} positions; {has} {MAX_FLATTEN_PIXELS}"
    if layer.flatten and layer.input_pixels * layer.in_channels > MAX_FLATTEN_FEATURES:
        yield "flatten", "flatten", f"more than {MAX_FLATTEN_FEATURES} features after flattening"
    if layer.groups not in (1, layer.in_channels):
        yield "groups", "groups", f"{layer.groups} groups of {layer.in_channels} channels"
    if item.entry.get("in_skip", 0) and item.in_passes > 1:
        yield "in_skip", "read-gap", f"read_gap with {item.in_passes} input passes"
    yield from _of_passes(item, part)


def _of_passes(item: Placed, part: Part) -> Iterator[tuple[str, str, str]]:
    layer, many = item.layer, item.in_passes
    plain = layer.operator is Operator.PASSTHROUGH
    keeps_size = prod(item.output_shape[1:]) > 1
    if many > 1 and plain and layer.pool and keeps_size and not part.can_pool_many_passes:
        yield "", "pooling", f"a layer without operator pools {many} passes; at most 1 here"
    padded = layer.operator is Operator.CONV1D and max(layer.pad) > 0
    if many > 1 and padded and not part.has_padded_multipass_conv1d:
        yield "pad", "pad-size", f"a padded 1-D convolution has {layer.in_channels} inputs"
    if layer.eltwise is None:
        return
    if many > 1 and part.device == "MAX78000":
        few = item.operands * many <= item.operands + many
        if not few and (layer.pool or not plain):
            yield ("eltwise", "eltwise", (f"{item.operands} operands in {many} passes neither pool "
                   "nor convolve on the MAX78000"))  # fmt: skip
    if not plain and item.is_biased and part.device == "MAX78002":
        yield "eltwise", "eltwise", "combines operands in front of a biased operator"


def kernel_words(network: NetworkEntry, item: Placed) -> int:
    """Return the 72-bit words that a layer takes on each of its input processors."""
    layer, active = item.layer, bits(output_map(network, item))
    if not layer.has_weights or item.entry.get("bypass"):
        return 0
    first = active[0]
    if item.out_passes > 1:
        first -= first % PROCESSORS_PER_INSTANCE
    span = active[-1] + 1 - first
    if layer.groups > 1:
        kernels = item.in_passes
    else:
        positions = layer.input_pixels if layer.flatten else 1
        unused = span * item.out_passes - item.output_shape[0] if layer.flatten else 0
        per_output = positions * item.in_passes
        kernels = (span * item.out_passes - max(unused, 0) * bool(layer.flatten)) * per_output
    taps = prod(layer.kernel) if layer.kernel else 1
    packed = 8 // item.weight_bits
    padding = (kernels % packed) * taps * (packed - 1)
    return -(-(kernels * taps * item.weight_bits + padding) // _WORD_BITS)


def _check_weights(
    network: NetworkEntry, placed: Sequence[Placed], part: Part, problems: Problems
) -> None:
    sizes = [kernel_words(network, item) if output_map(network, item) else 0 for item in placed]
    load = np.zeros(PROCESSORS, dtype=np.int64)
    for item, words in zip(placed, sizes, strict=True):
        load[list(bits(item.entry.processors))] += words
    room = np.array([part.kernel_room(p) for p in range(PROCESSORS)], dtype=np.int64)
    over = load - room
    worst = int(over.argmax())
    if over[worst] <= 0:
        _check_columns(network, placed, sizes, room, problems)
        return
    using = [i for i, item in enumerate(placed) if item.entry.processors >> worst & 1]
    largest = max(using, key=lambda i: sizes[i])
    problems.add(
        placed[largest].entry.line_of("processors"),
        "weight-memory",
        f"processor {worst} needs {load[worst]} words of weight memory; the {part.title} has "
        f"{room[worst]}, {over[worst]} too few; most of it, {sizes[largest]}, is for "
        f"{placed[largest].entry.title}",
    )


def _check_columns(
    network: NetworkEntry,
    placed: Sequence[Placed],
    sizes: Sequence[int],
    room: npt.NDArray[np.int64],
    problems: Problems,
) -> None:
    """Place every layer at the first column that is free on all its processors, and record misfits.

    Layers on all processors come first, as the compiler places them.
    """
    taken = np.zeros((PROCESSORS, int(room.max())), dtype=np.bool_)
    taken[np.arange(taken.shape[1])[None, :] >= room[:, None]] = True
    order = sorted(
        range(len(placed)), key=lambda i: (placed[i].entry.processors.bit_count() != PROCESSORS, i)
    )
    for index in order:
        item, active = placed[index], list(bits(placed[index].entry.processors))
        if not sizes[index] or not active:
            continue
        lead = bits(output_map(network, item))[0] % PROCESSORS_PER_INSTANCE
        words = sizes[index] + lead
        filled = np.concatenate(([0], np.cumsum(taken[active].any(axis=0))))
        starts = np.arange(0, max(taken.shape[1] - words + 1, 0), _COLUMN_STEP)
        free = starts[filled[starts + words] == filled[starts]]
        if not free.size:
            problems.add(
                item.entry.line_of("processors"),
                "weight-memory",
                f"{item.entry.title}: no {words} words of weight memory are free at one column on "
                f"all its {len(active)} processors, though each has enough in all",
            )
            return
        # Processors with more memory than the rest are filled from its end.
        start = int(free[-1] if room[active].min() > room.min() else free[0])
        taken[active, start : start + words] = True


def _check_biases(
    network: NetworkEntry, placed: Sequence[Placed], part: Part, problems: Problems
) -> None:
    used = [q for q in range(QUADRANTS)
            if any(q in quadrants(entry.processors) for entry in network.layers)]  # fmt: skip
    taken = dict.fromkeys(used, 0)
    needs = []
    for item in placed:
        if not item.is_biased or not output_map(network, item):
            continue
        first = bits(output_map(network, item))[0]
        extra = first % PROCESSORS_PER_INSTANCE * item.out_passes
        groups = [q for q in item.entry.get("bias_group", ()) if q in taken] or used
        needs.append((item, item.output_shape[0] + extra, groups))
    # Pinned ones first, then the largest, each into the emptiest quadrant it may use.
    needs.sort(key=lambda need: (len(need[2]) == len(used), -need[1]))
    for item, total, groups in needs:
        size, targets = total, [min(groups, key=lambda q: taken[q])]
        if item.layer.groups > 1:
            targets = [q for q in quadrants(item.entry.processors) if q in taken]
            size = -(-total // max(len(targets), 1))
        for quadrant in targets:
            taken[quadrant] += size
            if taken[quadrant] > part.bias_bytes:
                problems.add(
                    item.entry.line_of("bias_group"),
                    "bias-memory",
                    f"{item.entry.title}: its {size} bias bytes fill quadrant {quadrant} to "
                    f"{taken[quadrant]}; the {part.title} has {part.bias_bytes} per quadrant",
                )
