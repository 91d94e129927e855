"""Pools, element-wise combinations and concatenations, which wait for the next operator."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_maxim.fusing.assembly import Assembly, identity
from nibblefit_maxim.fusing.geometry import UnfitError, same, times
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.fusing.weighted import cropped
from nibblefit_maxim.fusing.windows import pads_of, pooled_shape, pools_of
from nibblefit_maxim.layers import Activation, Eltwise, HardwareLayer, Operator, PoolKind
from nibblefit_maxim.numerics import DATA_BITS, DATA_FRAC
from nibblefit_maxim.parts import MAX_OPERANDS

ELTWISE = {Op.ADD: Eltwise.ADD, Op.SUB: Eltwise.SUB, Op.OR: Eltwise.OR, Op.XOR: Eltwise.XOR}
#: Operands that may be combined before pooling. Source: ai8x-synthesis ab4f4c0, `tornadocnn.py`,
#: MAX_POOL_LAST_ELEMENTS.
_POOL_LAST_OPERANDS = 2


def pool(site: Assembly, node: Node) -> Value:
    """Return pooled data; the pooling waits."""
    value = site.read(node.inputs[0])
    if value.is_flat or len(value.shape) < 2:
        raise UnfitError("it pools flattened features", "pool before flattening")
    pads = pads_of(node, len(value.shape) - 1)
    if max(pads, default=0) > 0:
        value = _framed(site, node, value, pads)
    steps = pools_of(node, value.shape, site.part, is_rounded=site.rules.rounds_averages)
    for index, step in enumerate(steps):
        last = index == len(steps) - 1
        if value.pool is not None or (value.eltwise and len(value.sources) > _POOL_LAST_OPERANDS):
            value = site.flush(value)
        value = replace(
            value,
            pool=step,
            pool_first=value.eltwise is None,
            shape=pooled_shape(step, value.shape),
            nodes=(*value.nodes, node.name),
            label=node.name if last else f"{node.name}.step{index}",
        )
    return value


def _framed(site: Assembly, node: Node, value: Value, pads: tuple[int, ...]) -> Value:
    """Return the data with the frame of zeros that a padded pool reads.

    For averages the zeros count, as torch's default asks; for maxima they equal the missing
    positions where nothing is negative.

    Raises:
        UnfitError: Zeros would change the result, or the frame is none the hardware can make.
    """
    layer = site.layers.get(value.sources[0]) if value.is_plain else None
    if node.op is Op.MAX_POOL and (layer is None or layer.activation is Activation.NONE):
        raise UnfitError(
            "pooling cannot pad, and zeros would win over negative values",
            "put relu in front of the pool, or pool without padding",
        )
    uncounted = node.op is Op.AVG_POOL and not node.attributes.get("count_include_pad", True)
    if uncounted or not same(pads) or pads[0] != 1 or len(value.shape) != 3:
        raise UnfitError(
            f"pooling cannot pad by {times(pads)}",
            "pool without padding, or pad a 2-D pool by 1 on all sides with count_include_pad",
        )
    value = cropped(value)
    (channels, *sides), name = value.shape, site.free(f"{node.name}.frame")
    shape = (channels, *(side + 2 for side in sides))
    plain = HardwareLayer(
        name, Operator.PASSTHROUGH, value.sources, value.operand_shape, shape, pool=value.pool
    )
    layer = replace(
        identity(plain), kernel=(3, 3), pad=(2, 2),
        notes=("a 3×3 convolution that changes nothing adds the pool's frame of zeros",),
    )  # fmt: skip
    return site.put(layer, shape)


def operands_of(site: Assembly, node: Node) -> list[Value]:
    """Return the values a node combines.

    Raises:
        UnfitError: One is a constant, or some are flattened and others are not.
    """
    values = []
    for name in node.inputs:
        if name not in site.values:
            raise UnfitError("one operand is a constant", "fold it into a bias")
        values.append(site.read(name))
    if any(v.is_flat for v in values) and len({(v.is_flat, v.shape) for v in values}) > 1:
        raise UnfitError(
            "it combines features that were flattened from different shapes",
            "combine before flattening",
        )
    return values


def combine(site: Assembly, node: Node) -> Value:
    """Return the element-wise combination of two to sixteen operands; it waits."""
    _check_words(node)
    values, kind = operands_of(site, node), ELTWISE[node.op]
    shapes = [value.float_shape for value in values]
    if len(set(shapes)) > 1:
        raise UnfitError(f"operands have shapes {shapes}", "use operands of one shape")
    values = _unchained(site, values, kind)
    first = values[0]
    count = sum(len(value.sources) if value.eltwise else 1 for value in values)
    if count > MAX_OPERANDS:
        raise UnfitError(f"{count} operands", f"use at most {MAX_OPERANDS}")
    alike = all(
        (v.eltwise in (None, kind) and not v.is_concatenation)
        and (v.pool, v.pool_first, v.operand_shape) == (first.pool, True, first.operand_shape)
        for v in values
    )
    if not alike:
        values = [value if value.is_plain else site.flush(value) for value in values]
        first = values[0]
    if len({(v.held_shape, v.shape) for v in values}) > 1:
        raise UnfitError(
            f"operands are held as {[v.held_shape for v in values]}",
            "pad the convolutions before it alike",
        )
    return Value(
        tuple(source for value in values for source in value.sources),
        first.operand_shape,
        first.shape,
        kind,
        first.pool,
        is_flat=first.is_flat,
        nodes=(*dict.fromkeys(name for value in values for name in value.nodes), node.name),
        flattening=first.flattening,
        label=node.name,
    )


def _check_words(node: Node) -> None:
    """Refuse bitwise combinations of words that are no codes of 8-bit data."""
    if node.op not in (Op.OR, Op.XOR):
        return
    found = node.attributes.get("bits", DATA_BITS), node.attributes.get("frac", DATA_FRAC)
    if found != (DATA_BITS, DATA_FRAC):
        raise UnfitError(
            f"it combines words of {found[0]} bits, {found[1]} of them fractional",
            f"use words of {DATA_BITS} bits, {DATA_FRAC} fractional, which the data memory holds: "
            "⌊128·x + ½⌋ of −1 ≤ x < 1",
        )


def _unchained(site: Assembly, values: list[Value], kind: Eltwise) -> list[Value]:
    """Return operands, combinations among them carried out unless they continue this one.

    Everything is combined left to right and clipped once, so a sum may go on anywhere, a
    difference only from its first operand.
    """
    done, budget = [], MAX_OPERANDS
    for index, value in enumerate(values):
        goes_on = (
            value.eltwise is kind
            and value.pool is None
            and not value.is_shared
            and (index == 0 or kind is not Eltwise.SUB)
        )
        left = len(values) - index - 1
        kept = value.eltwise is None or (goes_on and len(value.sources) + left <= budget)
        done.append(value if kept else site.flush(value))
        budget -= len(done[-1].sources) if done[-1].eltwise else 1
    return done


def concat(site: Assembly, node: Node) -> Value:
    """Return channels side by side; concatenations of concatenations are one."""
    values = operands_of(site, node)
    flat = any(value.is_flat for value in values)
    spatial = len(site.graph.shapes[node.output]) > 1
    if node.attributes["axis"] != 1:
        raise UnfitError("it concatenates along a spatial axis", "concatenate channels")
    if flat and any(max(v.shape[1:], default=1) > 1 for v in values):
        raise UnfitError(
            "it concatenates flattened maps, whose features would interleave",
            "concatenate before flattening",
        )
    members = []
    for value in values:
        joins = value.is_concatenation and value.pool is None and not value.is_shared
        members.append(value if value.is_plain or joins else site.flush(value))
    if len({(v.held_shape[1:], v.shape[1:]) for v in members}) > 1:
        raise UnfitError(
            f"its members are held as {[v.held_shape for v in members]}; the compiler would join "
            "their pixels instead of their channels",
            "concatenate tensors of one height and width",
        )
    channels = sum(v.shape[0] for v in members)
    tail = members[0].shape[1:]
    return Value(
        tuple(source for value in members for source in value.sources),
        (channels, *members[0].held_shape[1:]),
        (channels, *tail),
        is_flat=flat and spatial is False,
        nodes=(*(name for value in members for name in value.nodes), node.name),
        label=node.name,
    )


def is_maximum(value: Value) -> bool:
    """Return whether the pooling that waits picks values instead of computing new ones."""
    return value.pool is not None and value.pool.kind is PoolKind.MAX
