"""Planning a network's memory: ways are tried from the best on, and the first that fits wins.

Objective, in this order: it fits, fewest layers, fewest estimated cycles. Layers are inserted where
a tensor is needed in two forms; streaming costs cycles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from nibblefit_maxim.memory.arrangement import Arrangement, Origin
from nibblefit_maxim.memory.arranging import arrange
from nibblefit_maxim.memory.biases import plan_biases
from nibblefit_maxim.memory.blocks import blocks_of
from nibblefit_maxim.memory.feed import Feed, feeds
from nibblefit_maxim.memory.laying import Decisions
from nibblefit_maxim.memory.limits import layer_shortages, limit_shortages
from nibblefit_maxim.memory.maps import Maps, choose_maps
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.offsets import place_blocks
from nibblefit_maxim.memory.orders import other_orders
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.memory.shapes import shape_shortages
from nibblefit_maxim.memory.short_data import data_shortage
from nibblefit_maxim.memory.short_weights import weight_shortages
from nibblefit_maxim.memory.shortage import DATA_RULE, Shortage, refuse
from nibblefit_maxim.memory.splitting import split_sums
from nibblefit_maxim.parts import Part

__all__ = ["LayerPlan", "MemoryPlan", "plan_memory", "try_plan"]


def try_plan(
    needs: Sequence[LayerNeeds],
    part: Part,
    network_input: str,
    outputs: Sequence[str] = (),
) -> tuple[MemoryPlan | None, list[Shortage]]:
    """Plan a network; without a plan, every shortage that was found.

    Args:
        needs: Layers in execution order.
        part: The device.
        network_input: Name of the tensor that comes from outside.
        outputs: Tensors that must survive to the end; those that nobody reads always do.
    """
    shortages = limit_shortages(needs, part)
    shortages += shape_shortages([need.layer for need in needs], network_input)
    if shortages:
        return None, shortages
    kept = _kept(needs, outputs)
    if part.has_biased_eltwise:
        return _search(needs, part, network_input, kept)
    apart, added = split_sums(needs)
    shortages = limit_shortages(apart, part)
    if shortages:
        return None, shortages
    plan, shortages = _search(apart, part, network_input, kept)
    return (_with_sums(plan, added) if plan else None), shortages


def _with_sums(plan: MemoryPlan, added: Collection[str]) -> MemoryPlan:
    """Return the plan with the layers named as what they are."""
    layers = (
        replace(layer, origin=Origin.SUM) if layer.name in added else layer for layer in plan.layers
    )
    return replace(plan, layers=tuple(layers))


def _search(
    needs: Sequence[LayerNeeds], part: Part, network_input: str, outputs: Sequence[str]
) -> tuple[MemoryPlan | None, list[Shortage]]:
    """Try every way to arrange and feed the layers; without a plan, what the best way lacked."""
    best: list[Shortage] | None = None
    hopeless: set[int] = set()
    for number, arrangement, feed in _ways(needs, network_input, outputs, part):
        if number in hopeless:
            continue
        plan, found = _plan(arrangement, feed, part)
        if plan is not None:
            return plan, []
        if best is None or _lack(found) < _lack(best):
            best = found
        if not any(shortage.rule == DATA_RULE for shortage in found):
            hopeless.add(number)  # another way to feed the input only helps data memory
    return None, best or []


def plan_memory(
    needs: Sequence[LayerNeeds],
    part: Part,
    network_input: str,
    outputs: Sequence[str] = (),
) -> MemoryPlan:
    """Plan a network.

    Raises:
        LimitError: It does not fit; names every shortage.
        UnsupportedError: No arrangement in memory can serve the graph.
    """
    plan, shortages = try_plan(needs, part, network_input, outputs)
    if plan is None:
        raise refuse(shortages, part.title)
    return plan


def _kept(needs: Sequence[LayerNeeds], outputs: Sequence[str]) -> list[str]:
    read = {name for need in needs for name in need.layer.inputs}
    made = [need.layer.tensor for need in needs]
    return [name for name in made if name in outputs or name not in read]


def _lack(shortages: Sequence[Shortage]) -> tuple[int, float]:
    return len(shortages), sum(shortage.value - shortage.limit for shortage in shortages)


def _ways(
    needs: Sequence[LayerNeeds], network_input: str, outputs: Sequence[str], part: Part
) -> Iterator[tuple[int, Arrangement, Feed]]:
    """Yield arrangements, numbered, and ways to feed them: those with the fewest layers first, of
    those the ones with the fewest streaming layers, which cost cycles.
    """
    arrangements = list(_arrangements(needs, network_input, outputs, part))
    ways = [
        (len(arrangement.steps), feed.streaming, feed.is_chw, number, feed)
        for number, arrangement in enumerate(arrangements)
        for feed in feeds(arrangement, part)
    ]
    for *_, number, feed in sorted(ways, key=lambda way: way[:4]):
        yield number, arrangements[number], feed


def _arrangements(
    needs: Sequence[LayerNeeds], network_input: str, outputs: Sequence[str], part: Part
) -> Iterator[Arrangement]:
    """Yield arrangements: the given order first, inserted layers early, then late; interleaved
    operands that take turns, then a place for each, which may take more layers and less memory.
    """
    for shares in (True, False):
        for order in other_orders(needs, network_input):
            for late in (False, True):
                made = arrange(order, network_input, outputs, part, late=late, shares=shares)
                yield made
                if len(made.steps) == len(needs):
                    break


def _plan(
    arrangement: Arrangement, feed: Feed, part: Part
) -> tuple[MemoryPlan | None, list[Shortage]]:
    needs = [step.need for step in arrangement.steps]
    maps = choose_maps(arrangement, feed, part)
    shortages = layer_shortages(needs, part)
    shortages += weight_shortages(arrangement, maps, feed, part)
    biases, found = plan_biases(needs, maps.inputs, part, streaming=feed.streaming)
    shortages += found
    offsets, overlaps = _offsets(arrangement, maps, feed, part)
    if offsets is None:
        shortages.append(data_shortage(arrangement, maps, feed, part))
    if shortages or offsets is None:
        return None, shortages
    made = Decisions(arrangement, maps, feed, part, offsets, biases, overlaps)
    return made.plan(), []


def _offsets(
    arrangement: Arrangement, maps: Maps, feed: Feed, part: Part
) -> tuple[dict[int, int] | None, bool]:
    """Return offsets by block, and whether the compiler's own check must be off for them."""
    for guarded in (True, False):
        blocks = blocks_of(arrangement, maps, feed, part, guarded=guarded)
        offsets = place_blocks(blocks, part.instance_bytes)
        if offsets is not None:
            return offsets, not guarded
        if len(arrangement.outputs) == 1:
            break
    return None, False
