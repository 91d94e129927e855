"""Limits that a layer breaks whatever the placement: sizes, channels, passes, layer count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.shortage import CHAIN_RULE, Shortage
from nibblefit_maxim.parts import (
    MAX_FLATTEN_FEATURES,
    MAX_FLATTEN_PIXELS,
    MAX_PASSES,
    MAX_PIXEL_PASSES,
    MAX_POOL_STRIDE,
    MAX_POOL_WINDOW,
    Part,
)


def limit_shortages(needs: Sequence[LayerNeeds], part: Part) -> list[Shortage]:
    """Return every limit that the network breaks before any memory is placed."""
    found = [shortage for need in needs for shortage in _of_layer(need, part)]
    if len(needs) > part.max_layers:
        found.append(
            Shortage(
                "limit.layers", needs[part.max_layers].layer.name,
                f"{len(needs)} hardware layers; the {part.title} has {part.max_layers}",
                "remove layers; pooling in front of a convolution costs none",
                len(needs), part.max_layers, "layers",
            )
        )  # fmt: skip
    return found


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


def chain_shortages(layers: Sequence[HardwareLayer], network_input: str) -> list[Shortage]:
    """Return what keeps the layers from being one chain; the planner places chains only."""
    found = []
    before = network_input
    for layer in layers:
        if layer.inputs != (before,) or layer.eltwise is not None:
            what = (
                f"combines {len(layer.inputs)} tensors"
                if len(layer.inputs) > 1
                else f"reads '{layer.inputs[0]}' instead of its predecessor '{before}'"
            )
            found.append(
                Shortage(
                    CHAIN_RULE, layer.name,
                    f"it {what}; memory is planned for chains of layers only",
                    "quantize and evaluate work; to write files, use a network without branches",
                    len(layer.inputs), 1, "inputs",
                )
            )  # fmt: skip
        before = layer.tensor
    return found
