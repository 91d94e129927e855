"""Limits that a layer breaks whatever the placement: sizes, channels, passes, layer count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nibblefit_maxim.layers import Operator, PoolKind
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.shortage import Shortage
from nibblefit_maxim.parts import (
    MAX_FLATTEN_FEATURES,
    MAX_FLATTEN_PIXELS,
    MAX_OPERANDS,
    MAX_PASSES,
    MAX_PIXEL_PASSES,
    MAX_POOL_STRIDE,
    MAX_POOL_WINDOW,
    Part,
)


def limit_shortages(needs: Sequence[LayerNeeds], part: Part) -> list[Shortage]:
    """Return every limit that the network breaks before any memory is placed."""
    found = [shortage for need in needs for shortage in _of_layer(need, part)]
    return [*found, *layer_shortages(needs, part)]


def layer_shortages(needs: Sequence[LayerNeeds], part: Part) -> list[Shortage]:
    """Return whether there are too many layers, inserted ones and hidden ones counted.

    The MAX78002's compiler adds a layer behind an element-wise one that pools an average.
    """
    hidden = sum(
        need.layer.eltwise is not None
        and need.layer.pool is not None
        and need.layer.pool.kind is PoolKind.AVG
        for need in needs
        if part.has_depthwise
    )
    count = len(needs) + hidden
    if count <= part.max_layers:
        return []
    return [
        Shortage(
            "limit.layers", needs[min(part.max_layers, len(needs) - 1)].layer.name,
            f"{count} hardware layers; the {part.title} has {part.max_layers}",
            "remove layers; pooling in front of a convolution costs none, and a tensor that is "
            "added and also read elsewhere costs one more",
            count, part.max_layers, "layers",
        )
    ]  # fmt: skip


def _of_layer(need: LayerNeeds, part: Part) -> Iterator[Shortage]:
    layer = need.layer

    def over(  # noqa: PLR0917 - one row of a table
        rule: str, value: int, limit: int, unit: str, what: str, hint: str
    ) -> Iterator[Shortage]:
        if value > limit:
            message = f"{what} {value}; the {part.title} allows {limit}, {value - limit} too many"
            yield Shortage(rule, layer.name, message, hint, value, limit, unit)

    channels = max(layer.in_channels, layer.out_channels)
    yield from over("limit.channels", channels, part.max_channels, "channels",
                    "channels in or out:", "use fewer channels")  # fmt: skip
    side = max((*layer.input_shape[1:], *layer.output_shape[1:]), default=1)
    yield from over("limit.side", side, part.max_side, "pixels", "rows or columns:",
                    "crop or scale the input down")  # fmt: skip
    yield from over("limit.passes", need.in_passes, MAX_PASSES, "passes", "input passes:",
                    "use fewer channels")  # fmt: skip
    yield from over("limit.pixels", layer.input_pixels * need.in_passes, MAX_PIXEL_PASSES - 1,
                    "pixels", "pixels times passes:", "scale the input down")  # fmt: skip
    if layer.flatten:
        yield from over("limit.flatten_pixels", layer.input_pixels, MAX_FLATTEN_PIXELS, "pixels",
                        "positions to flatten:", "pool before the linear layer")  # fmt: skip
        yield from over("limit.flatten_features", layer.input_pixels * layer.in_channels,
                        MAX_FLATTEN_FEATURES, "features", "features after flattening:",
                        "pool before the linear layer, or use fewer channels")  # fmt: skip
    yield from _of_pool(need, part)
    yield from _of_operands(need, part)
    yield from _of_convolution(need, part)


def _of_convolution(need: LayerNeeds, part: Part) -> Iterator[Shortage]:
    layer = need.layer
    if layer.groups > 1 and not part.has_depthwise:
        yield Shortage(
            "limit.groups", layer.name, f"{layer.groups} groups; the {part.title} has 1",
            "use a full convolution, or the MAX78002", layer.groups, 1, "groups",
        )  # fmt: skip
    if (
        layer.operator is Operator.CONV1D
        and need.in_passes > 1
        and max(layer.pad) > 0
        and not part.has_padded_multipass_conv1d
    ):
        yield Shortage(
            "limit.conv1d_padding", layer.name,
            f"a padded 1-D convolution has {layer.in_channels} input channels; the {part.title} "
            "allows 64", "use at most 64 channels here, or no padding",
            layer.in_channels, 64, "channels",
        )  # fmt: skip


def _of_pool(need: LayerNeeds, part: Part) -> Iterator[Shortage]:
    layer, pool = need.layer, need.layer.pool
    if pool is None:
        return
    window, stride = max(pool.window), max(pool.stride)
    if window > MAX_POOL_WINDOW or stride > MAX_POOL_STRIDE:
        yield Shortage(
            "limit.pool", layer.name,
            f"pooling window {window}, stride {stride}; both may be at most {MAX_POOL_WINDOW}",
            "pool in two steps", max(window, stride), MAX_POOL_WINDOW, "pixels",
        )  # fmt: skip
    if (
        layer.operator is Operator.PASSTHROUGH
        and need.in_passes > 1
        and layer.output_pixels > 1
        and not part.can_pool_many_passes
    ):
        yield Shortage(
            "limit.pool_passes", layer.name,
            f"a layer that only pools has {layer.in_channels} channels; the {part.title} allows 64",
            "put a convolution behind the pooling, or pool to 1×1",
            layer.in_channels, 64, "channels",
        )  # fmt: skip


def _of_operands(need: LayerNeeds, part: Part) -> Iterator[Shortage]:
    """Yield what is wrong with an element-wise layer; section 4 of the vendor's README."""
    layer = need.layer
    if layer.eltwise is None:
        return
    count, many = layer.operands, need.in_passes
    if count > MAX_OPERANDS:
        yield Shortage(
            "limit.operands", layer.name, f"{count} operands; at most {MAX_OPERANDS}",
            "combine them in two layers", count, MAX_OPERANDS, "operands",
        )  # fmt: skip
    if layer.pool is not None and not layer.pool_first and count > 2:
        yield Shortage(
            "limit.pool_last", layer.name,
            f"{count} operands are combined, then pooled; at most 2",
            "pool each operand first", count, 2, "operands",
        )  # fmt: skip
    is_more = layer.has_weights or layer.pool is not None
    if many > 1 and is_more and not part.has_depthwise and count * many > count + many:
        yield Shortage(
            "limit.operand_passes", layer.name,
            f"{count} operands of {layer.in_channels} channels are pooled or convolved in "
            f"{many} passes; the {part.title} does that for 2 operands in 2 passes only",
            "combine them in a layer of its own, or use at most 64 channels",
            count * many, count + many, "passes",
        )  # fmt: skip
