"""Which tensors and weights have 16 bits: requests by name, and how they spread.

Only convolutions, batch norms, average pools and element-wise sums and products may write another
width than they read. All other layers hand theirs on, so that a request on one of them reaches the
nearest layers that can: all inputs of a concatenation, for example. Source: edgeai-tidl-tools
11_00_06_00, mixed precision; TIDL-RT user guide.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.quantization.assign import AFFINE
from nibblefit.quantization.units import Output, Unit
from nibblefit_tidl.devices import Device

#: Operators that may write another width than they read.
CHANGERS = frozenset({
    Op.CONV, Op.CONV_TRANSPOSE, Op.SCALE_OFFSET, Op.AVG_POOL, Op.GLOBAL_AVG_POOL, Op.ADD, Op.SUB,
    Op.MUL,
})  # fmt: skip
#: Outputs that are floating point or indices on the device anyway.
_NO_WIDTH = frozenset({Op.SOFTMAX, Op.ARGMAX})
NARROW, WIDE = 8, 16


@dataclass(frozen=True, slots=True)
class Precision:
    """Widths of a network.

    Attributes:
        bits: Width where nothing else is said.
        tensors: Tensor → width.
        weights: Layer → width of its weights.
        notes: What a request did that nobody may have expected, one line each.
    """

    bits: int = NARROW
    tensors: Mapping[str, int] = field(default_factory=frozen_mapping)
    weights: Mapping[str, int] = field(default_factory=frozen_mapping)
    notes: tuple[str, ...] = ()

    def of_tensor(self, name: str) -> int:
        """Return the width of a tensor."""
        return self.tensors.get(name, self.bits)

    def of_weights(self, layer: str) -> int:
        """Return the width of a layer's weights."""
        return self.weights.get(layer, self.bits)


def uniform(bits: int) -> Precision:
    """Return one width for everything."""
    return Precision(bits)


def mixed(
    graph: Graph, parts: tuple[Unit, ...], outputs: Iterable[str], params: Iterable[str] = ()
) -> Precision:
    """Return 8 bits with 16 where asked for.

    Args:
        graph: The folded graph.
        parts: Its units.
        outputs: Names of output tensors, or of layers, whose values and weights get 16 bits.
        params: The same for weights alone.

    Raises:
        RecipeError: A name is unknown, or asks for weights of a layer without.
    """
    by_name = _units_by_name(parts)
    _refuse_unknown((*outputs, *params), by_name)
    groups = _groups(graph, parts)
    wide: set[str] = set()
    notes = []
    for name in outputs:
        unit = by_name[name]
        if unit.node.op in _NO_WIDTH:
            notes.append(f"'{name}' ({unit.node.op.value}) is no 8-bit tensor; 16 bits do nothing")
            continue
        reached = set().union(*(groups[tensor] for tensor in unit.tensors))
        others = sorted(reached - set(unit.tensors))
        if others:
            notes.append(f"'{name}' cannot change width by itself; 16 bits also for "
                         + ", ".join(f"'{other}'" for other in others))  # fmt: skip
        wide |= reached
    layers = {u.node.name for u in parts if u.node.op in AFFINE and wide & set(u.tensors)}
    layers |= _with_weights(by_name, params)
    return Precision(
        NARROW, frozen_mapping(dict.fromkeys(sorted(wide), WIDE)),
        frozen_mapping(dict.fromkeys(sorted(layers), WIDE)), tuple(notes),
    )  # fmt: skip


def _with_weights(by_name: Mapping[str, Unit], names: Iterable[str]) -> set[str]:
    """Return the layers behind names that ask for wide weights; all must have some."""
    for name in names:
        if by_name[name].node.op not in AFFINE:
            raise RecipeError(
                f"params_16bit_names asks for '{name}', which has no weights",
                hint="name the output of a convolution, linear layer or batch norm",
            )
    return {by_name[name].node.name for name in names}


def deconvolutions_beyond(
    parts: Iterable[Unit], precision: Precision, device: Device
) -> tuple[str, ...]:
    """Return the transposed convolutions that would have 16 bits on a device that lacks them."""
    if device.wide_deconvolution:
        return ()
    return tuple(
        unit.node.name for unit in parts
        if unit.node.op is Op.CONV_TRANSPOSE and (
            precision.of_weights(unit.node.name) == WIDE
            or any(precision.of_tensor(n) == WIDE for n in (unit.node.inputs[0], *unit.tensors))
        )
    )  # fmt: skip


def refuse_beyond(parts: Iterable[Unit], precision: Precision, device: Device) -> None:
    """Refuse widths that a device does not have.

    Raises:
        RecipeError: A transposed convolution would have 16 bits.
    """
    found = deconvolutions_beyond(parts, precision, device)
    if found:
        raise RecipeError(
            f"{device.name} has no transposed convolution of 16 bits, and "
            f"{', '.join(repr(name) for name in found)} would have them",
            hint="leave 8 bits to the layer and to what it reads, or resize instead "
            "(interpolation and a convolution)",
        )


def candidates(parts: tuple[Unit, ...]) -> tuple[Unit, ...]:
    """Return the units that can be asked for by themselves and change anything."""
    return tuple(unit for unit in parts if _can_change(unit))


def _can_change(unit: Unit) -> bool:
    """Return whether a layer may write another width than it reads."""
    return unit.node.op in CHANGERS and unit.output is not Output.KEPT


def _units_by_name(parts: tuple[Unit, ...]) -> dict[str, Unit]:
    """Map layers and tensors, inner ones of a merged layer too, to units."""
    found: dict[str, Unit] = {}
    for unit in parts:
        inner = [name for node in (unit.node, *unit.rectifiers) for name in node.outputs]
        names = (unit.node.name, *(node.name for node in unit.rectifiers), *inner, *unit.tensors)
        found.update((name, unit) for name in names if name not in found)
    return found


def _refuse_unknown(names: Iterable[str], known: Mapping[str, Unit]) -> None:
    problems = []
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            problems.append(
                f"16 bits are asked for '{name}', which is no layer or tensor"
                + (f"; did you mean '{close[0]}'?" if close else "")
            )
    if problems:
        raise RecipeError(
            "mixed precision names what does not exist",
            hint="`nibblefit inspect` lists the layers",
            problems=problems,
        )


def _groups(graph: Graph, parts: tuple[Unit, ...]) -> dict[str, frozenset[str]]:
    """Map every tensor to those that must have its width: itself and what hands widths on."""
    members: dict[str, set[str]] = {name: {name} for name in graph.inputs}
    for unit in parts:
        group = set(unit.tensors)
        if unit.node.op not in _NO_WIDTH and not _can_change(unit):
            group |= {name for name in unit.node.inputs if name in members}
        for name in sorted(group):
            group |= members.get(name, set())
        members.update(dict.fromkeys(group, group))
    return {name: frozenset(group) for name, group in members.items()}
