"""What is known to make quantized training hard, said before the first epoch."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.layers import HardwareLayer

#: Fewer positions than this in front of the classifier: what the network knows about the whole
#: input has to fit into very few 8-bit values.
MIN_POSITIONS = 4


def training_advice(fused: FusedNetwork) -> tuple[str, ...]:
    """Return a warning for each trait of a network that tends to cost accuracy on this chip."""
    return tuple(_advice(fused))


def _advice(fused: FusedNetwork) -> Iterator[str]:
    producers = {layer.tensor: layer for layer in fused.layers}
    for output in fused.outputs:
        layer = producers.get(output.tensor)
        if layer is None or not _is_classifier(layer):
            continue
        before = _pooling_before(layer, producers)
        if before is not None:
            yield (
                f"global pooling stands in front of the classifier '{layer.name}' (layer "
                f"'{before.name}'): averages of 8-bit data lose what tells classes apart; "
                "flatten a plane of 4×4 or so instead"
            )
        elif layer.input_pixels < MIN_POSITIONS:
            yield (
                f"the last feature maps, in front of '{layer.name}', have {layer.input_pixels} "
                f"position{'s' if layer.input_pixels > 1 else ''}; keep at least "
                f"{MIN_POSITIONS}: pool less"
            )


def _is_classifier(layer: HardwareLayer) -> bool:
    """Return whether a layer turns maps into one position: linear, or a convolution of 1×1."""
    return layer.has_weights and not layer.identity and layer.output_pixels == 1


def _pooling_before(
    layer: HardwareLayer, producers: dict[str, HardwareLayer]
) -> HardwareLayer | None:
    """Return the layer that pools whole planes in front of a classifier, if there is one."""
    if _pools_everything(layer):
        return layer
    before = producers.get(layer.inputs[0])
    while before is not None and (before.identity or not before.has_weights):
        if _pools_everything(before):
            return before
        before = producers.get(before.inputs[0])
    return None


def _pools_everything(layer: HardwareLayer) -> bool:
    pool = layer.pool
    return pool is not None and layer.input_pixels > 1 and prod(pool.window) == layer.input_pixels
