"""Concat, Split and Pad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _concat(site: Site) -> str:
    count = len(site.node.input)
    first = next(i for i in range(count) if site.is_activation(i))
    axis = site.axis(int(site.attribute("axis", 1)), len(site.shape(first)) + 1)
    if all(site.is_activation(i) for i in range(count)):
        names = [site.activation(i) for i in range(count)]
        return names[0] if count == 1 else site.add(Op.CONCAT, names, axis=axis)
    return _padded_concat(site, first, axis)


def _padded_concat(site: Site, first: int, axis: int) -> str:
    """Say concatenation with zeros on either side as padding."""
    others = [i for i in range(len(site.node.input)) if i != first]
    if any(site.is_activation(i) or site.array(i, "part").any() for i in others):
        raise Refused("it joins activations with constants", "only zeros can be joined, as padding")
    rank = len(site.shape(first))
    begins, ends = [0] * rank, [0] * rank
    begins[axis - 1] = sum(site.array(i, "part").shape[axis] for i in others if i < first)
    ends[axis - 1] = sum(site.array(i, "part").shape[axis] for i in others if i > first)
    return site.add(Op.PAD, [site.activation(first)], pads=(*begins, *ends), value=0.0)


def _split(site: Site) -> Sequence[str]:
    axis = site.axis(int(site.attribute("axis", 0)))
    size, count = site.shape()[axis - 1], len(site.node.output)
    sizes = site.ints(1, "split")
    if sizes is None:
        share = -(-size // int(site.attribute("num_outputs", count)))
        sizes = tuple(min(share, size - start) for start in range(0, size, share))
    if len(sizes) != count:
        raise Refused(f"it cuts {size} into {len(sizes)} pieces; expected {count}")
    return site.add_split(site.activation(), axis, sizes)


def _pad(site: Site) -> str:
    if site.attribute("mode", "constant") != "constant":
        raise Refused(f"padding by '{site.attribute('mode')}' has no operator", "pad with zeros")
    rank = len(site.shape()) + 1
    amounts = site.ints(1, "pads")
    value = float(site.array(2, "value").reshape(-1)[0]) if site.has(2) else 0.0
    axes = [a % rank for a in site.ints(3, "axes", range(rank))]
    if amounts is None or len(amounts) != 2 * len(axes):
        raise Refused(f"its pads are {amounts}; expected {2 * len(axes)} entries")
    begins, ends = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        begins[axis], ends[axis] = amounts[place], amounts[len(axes) + place]
    if begins[0] or ends[0] or min(begins + ends) < 0:
        raise Refused("it pads the batch axis or crops", "pad other axes; crop with Slice")
    if not any(begins + ends):
        return site.activation()
    return site.add(Op.PAD, [site.activation()], pads=(*begins[1:], *ends[1:]), value=value)


HANDLERS: Mapping[str, Handler] = {"Concat": _concat, "Split": _split, "Pad": _pad}
