"""Layers that files write as several operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from nibblefit_vitis.inspection.layer import Layer, Network, Sort

#: The device's factor is 2731/16384; files have that or 1/6.
_SIXTH, _NEAR = 1 / 6, 1e-3
_FACTS = MappingProxyType({"alpha": _SIXTH, "beta": 0.5})


def with_hard_sigmoids(network: Network) -> Network:
    """Return a network in which ``clip(x + 3, 0, 6) / 6`` is a hard-sigmoid.

    The sum takes its place; clip and product have nothing left to do.
    """
    readers = network.readers()
    kept = set(network.outputs)
    found: dict[str, Layer] = {}
    for layer in network.layers:
        if layer.sort is not Sort.ADD or layer.facts.get("value") != 3.0:
            continue
        clip = _only(readers.get(layer.outputs[0], ()), layer, kept)
        product = _only(readers.get(clip.outputs[0], ()), clip, kept) if clip else None
        if clip is None or product is None or clip.sort is not Sort.RELU6:
            continue
        factor = product.facts.get("value")
        if product.sort is Sort.MUL and factor is not None and abs(factor - _SIXTH) < _NEAR:
            found[layer.name] = replace(layer, sort=Sort.HARD_SIGMOID, facts=_FACTS)
            found |= {one.name: replace(one, sort=Sort.NOTHING) for one in (clip, product)}
    return replace(network, layers=tuple(found.get(one.name, one) for one in network.layers))


def _only(readers: Sequence[Layer], maker: Layer, outputs: set[str]) -> Layer | None:
    """Return the only reader of a layer's result, if it has but that one."""
    alone = len(readers) == 1 and maker.outputs[0] not in outputs
    return readers[0] if alone else None
