"""The network without some classes of channels, and the network that only lacks their effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError, UnsupportedError, did_you_mean
from nibblefit.ir.graph import FloatConstant, Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.ir.shapes import infer_shapes
from nibblefit.pruning.classes import KEPT, Ids
from nibblefit.pruning.coupling import Coupling, Filters
from nibblefit.pruning.rules.joining import entry_of
from nibblefit.pruning.trace import fixed


@dataclass(frozen=True, slots=True)
class Cut:
    """What is removed from a coupled graph.

    Attributes:
        coupling: The graph and its classes.
        removed: Classes that go, ascending; never `KEPT`.
    """

    coupling: Coupling
    removed: Ids

    def stays(self, classes: Ids) -> npt.NDArray[np.bool_]:
        """Return which entries of an array of classes stay."""
        if not len(self.removed) or not classes.size:
            return np.ones(classes.shape, dtype=np.bool_)
        stay = np.ones(1 + max(int(self.removed[-1]), int(classes.max())), dtype=np.bool_)
        stay[self.removed] = False
        return stay[classes]

    def kept(self, constant: str, axis: int) -> Ids:
        """Return the indices of a constant's axis that stay, ascending."""
        slot = self.coupling.slots.get((constant, axis))
        if slot is None:
            return np.arange(self.coupling.graph.constants[constant].shape[axis])
        return np.flatnonzero(self.stays(slot))

    def layers(self) -> dict[str, Ids]:
        """Return the filters that stay, by layer; a layer that loses none is left out."""
        found: dict[str, Ids] = {}
        for group in self.coupling.groups:
            for member in group.members:
                stays = self.stays(member.classes)
                if not stays.all():
                    found |= dict.fromkeys(member.layers, np.flatnonzero(stays))
        return found

    def empty(self) -> list[str]:
        """Return the tensors that would lose all their channels, in graph order."""
        tensors = self.coupling.tensors
        return [name for name, found in tensors.items() if not self.stays(found.ids).any()]

    def sizes(self) -> dict[str, Shape]:
        """Return the shapes of all constants and tensors after the cut."""
        graph = self.coupling.graph
        shapes = {name: tuple(value.shape) for name, value in graph.constants.items()}
        shapes |= {name: tuple(shape) for name, shape in graph.shapes.items()}
        lost = [((name, axis), ids) for (name, axis), ids in self.coupling.slots.items()]
        lost += [((name, c.axis), c.ids) for name, c in self.coupling.tensors.items()]
        for (name, axis), ids in lost:
            gone = int(np.count_nonzero(~self.stays(ids)))
            if gone:
                shape = shapes[name]
                shapes[name] = (*shape[:axis], shape[axis] - gone, *shape[axis + 1 :])
        return shapes


def cut_of(coupling: Coupling, layers: Mapping[str, Sequence[int]]) -> Cut:
    """Return the cut that leaves the named filters: the inverse of `Cut.layers`.

    Args:
        coupling: The unpruned network.
        layers: Indices that stay, by layer; layers not named keep what the others let them.

    Raises:
        InputError: A layer does not exist or may lose no filters, an index is out of range, or
            layers that belong together would keep different filters.
    """
    owners = {layer: m for g in coupling.groups for m in g.members for layer in m.layers}
    removed: set[int] = set()
    kept: set[int] = set()
    for layer, indices in layers.items():
        classes = _owned(owners, layer, indices).classes
        stays = np.zeros(len(classes), dtype=np.bool_)
        stays[np.asarray(indices, dtype=np.int64)] = True
        kept.update(classes[stays].tolist())
        removed.update(classes[~stays].tolist())
    if torn := (removed & kept) | (removed & {KEPT}):
        layer = next(name for name in layers if torn.intersection(owners[name].classes.tolist()))
        raise InputError(
            f"the plan removes filters of '{layer}' that belong to filters that stay",
            hint="the plan was made for another network; make it again for this one",
        )
    return Cut(coupling, np.array(sorted(removed), dtype=np.int64))


def _owned(owners: Mapping[str, Filters], layer: str, indices: Sequence[int]) -> Filters:
    if layer not in owners:
        raise InputError(f"the plan prunes '{layer}', of which nothing can be removed; "
                         f"{did_you_mean(layer, owners)}")  # fmt: skip
    filters = owners[layer]
    width = len(filters.classes)
    if any(not 0 <= index < width for index in indices):
        raise InputError(f"the plan keeps filters {max(indices)} of '{layer}', which has {width}",
                         hint="the plan was made for another network")  # fmt: skip
    return filters


def cut(what: Cut) -> Graph:
    """Return the graph without the removed channels; names stay, shapes shrink.

    Raises:
        UnsupportedError: A tensor would lose all channels.
    """
    graph = what.coupling.graph
    if empty := what.empty():
        raise UnsupportedError(
            f"pruning would leave '{empty[0]}' without any channel",
            hint="lower the threshold, raise the least number of filters, or exclude its layer",
        )
    constants = {name: _smaller(what, name, value) for name, value in graph.constants.items()}
    shapes: dict[str, Shape] = {name: graph.shapes[name] for name in graph.inputs}
    nodes = []
    for node in graph.nodes:
        changed = replace(node, attributes=frozen_mapping(_attributes(what, node)))
        known = [constants[n].shape if n in constants else shapes[n] for n in node.inputs]
        made = infer_shapes(changed.op, changed.attributes, known)
        shapes.update(zip(node.outputs, made, strict=True))
        nodes.append(changed)
    return replace(graph, nodes=tuple(nodes), shapes=frozen_mapping(shapes),
                   constants=frozen_mapping(constants))  # fmt: skip


def masked(what: Cut) -> Graph:
    """Return the graph in its full size with the weights that read removed channels at zero.

    Its outputs are those of the cut graph, but for the rounding of sums in another order.
    """
    graph = what.coupling.graph
    constants = dict(graph.constants)
    for node in graph.nodes:
        if node.op not in WEIGHTED or node.inputs[1] not in graph.constants:
            continue
        name, axis = node.inputs[1], 0 if node.op is Op.CONV_TRANSPOSE else 1
        if (name, axis) in what.coupling.slots:
            constants[name] = _without(constants[name], axis,
                                       what.stays(what.coupling.slots[name, axis]))  # fmt: skip
    return graph.with_constants(constants)


def _without(value: FloatConstant, axis: int, stays: npt.NDArray[np.bool_]) -> FloatConstant:
    shape = tuple(-1 if one == axis else 1 for one in range(value.ndim))
    product: FloatConstant = value * stays.reshape(shape).astype(value.dtype)
    product.flags.writeable = False
    return product


def _smaller(what: Cut, name: str, whole: FloatConstant) -> FloatConstant:
    value = whole
    for axis in range(value.ndim):
        slot = what.coupling.slots.get((name, axis))
        if slot is not None and not (stays := what.stays(slot)).all():
            value = value.take(np.flatnonzero(stays), axis=axis)
    if value is whole and whole.flags.writeable:
        value = whole.copy()
    value.flags.writeable = False
    return value


def _attributes(what: Cut, node: Node) -> dict[str, Any]:
    """Return a node's attributes for the smaller tensors."""
    return {**node.attributes, **dict(_CHANGES.get(node.op, _nothing)(what, node))}


Changes = Iterator[tuple[str, Any]]


def _nothing(_what: Cut, _node: Node) -> Changes:
    return iter(())


def _groups(what: Cut, node: Node) -> Changes:
    """A depthwise layer has as many groups as channels; others keep theirs."""
    groups, weights = node.attributes.get("groups", 1), node.inputs[1]
    into = what.coupling.graph.shapes[node.inputs[0]][0]
    if groups == into > 1 and weights in what.coupling.graph.constants:
        yield "groups", _count(what, node.inputs[0])


def _sizes(what: Cut, node: Node) -> Changes:
    found = what.coupling.tensors[node.inputs[0]]
    rank = len(what.coupling.graph.shapes[node.inputs[0]])
    if entry_of(node.attributes["axis"], rank) == found.axis:
        yield "sizes", tuple(_count(what, name) for name in node.outputs)


def _bounds(what: Cut, node: Node) -> Changes:
    """A slice of channels begins and ends where its first and last kept channels are now."""
    name = node.inputs[0]
    found, shape = what.coupling.tensors[name], what.coupling.graph.shapes[name]
    starts, ends = list(node.attributes["starts"]), list(node.attributes["ends"])
    for place, axis in enumerate(node.attributes["axes"]):
        if entry_of(axis, len(shape)) == found.axis and not what.stays(found.ids).all():
            first, last, _ = slice(starts[place], ends[place]).indices(shape[found.axis])
            before = np.concatenate(([0], np.cumsum(what.stays(found.ids))))
            starts[place], ends[place] = int(before[first]), int(before[last])
    yield "starts", tuple(starts)
    yield "ends", tuple(ends)


def _shape(what: Cut, node: Node) -> Changes:
    after = what.coupling.tensors[node.output]
    shape = list(what.coupling.graph.shapes[node.output])
    shape[after.axis] = _count(what, node.output)
    yield "shape", tuple(shape)


def _count(what: Cut, name: str) -> int:
    tensors = what.coupling.tensors
    found = tensors.get(name) or fixed(what.coupling.graph.shapes[name])
    return int(np.count_nonzero(what.stays(found.ids)))


_CHANGES: Mapping[Op, Any] = {
    Op.CONV: _groups,
    Op.CONV_TRANSPOSE: _groups,
    Op.SPLIT: _sizes,
    Op.SLICE: _bounds,
    Op.RESHAPE: _shape,
}
