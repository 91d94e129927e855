"""How large a network is, said without double meanings.

A training checkpoint holds the optimizer's state beside the weights, which is why TAO's unpruned
files look twice as large as the network is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nibblefit.ir.graph import Graph
from nibblefit.ir.macs import graph_macs
from nibblefit.nn.names import trainable
from nibblefit.results import Table

_BYTES = 4
MIB = 2**20
#: Numbers that an optimizer keeps for every trained parameter.
STATES: Mapping[str, int] = {"sgd": 1, "adam": 2, "adamw": 2}


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a float network.

    Attributes:
        parameters: All constants, statistics of batch norm included, as TAO counts.
        trained: Those that an optimizer changes.
        macs: Multiply-accumulates for one input.
    """

    parameters: int
    trained: int
    macs: int

    @property
    def weight_bytes(self) -> int:
        """Bytes of the float32 weights alone."""
        return _BYTES * self.parameters

    @property
    def int8_bytes(self) -> int:
        """Bytes with one byte a parameter, as an INT8 engine stores them at least."""
        return self.parameters

    def checkpoint_bytes(self, optimizer: str) -> int:
        """Bytes of a training checkpoint: weights and the optimizer's state."""
        return _BYTES * (self.parameters + STATES[optimizer] * self.trained)


def size_of(graph: Graph) -> Size:
    """Return the size of a graph."""
    names = trainable(graph)
    sizes = {name: int(value.size) for name, value in graph.constants.items()}
    trained = sum(size for name, size in sizes.items() if name in names)
    return Size(sum(sizes.values()), trained, sum(graph_macs(graph).values()))


def as_json(size: Size) -> dict[str, int]:
    """Return all sizes of a network, checkpoints by optimizer."""
    return {
        "parameters": size.parameters, "trained": size.trained, "macs": size.macs,
        "weight_bytes": size.weight_bytes, "int8_bytes": size.int8_bytes,
        **{f"checkpoint_bytes_{name}": size.checkpoint_bytes(name) for name in STATES},
    }  # fmt: skip


def size_table(now: Size, whole: Size | None = None, optimizer: str = "sgd") -> Table:
    """Return every size of a network, beside those of the unpruned one if that is known."""
    columns: tuple[str, ...] = ("what", "size")
    rows: list[tuple[str, ...]] = _size_rows(now, optimizer)
    if whole is None:
        return Table("Size", columns, tuple(rows))
    columns = ("what", "unpruned", "pruned", "remains")
    numbers = zip(_counts(whole, optimizer), _counts(now, optimizer), strict=True)
    rows = [
        (what, before, after, _share(*pair))
        for (what, before), (_, after), pair in zip(
            _size_rows(whole, optimizer), rows, numbers, strict=True
        )
    ]
    return Table(f"Size: {_remaining(whole, now)}", columns, tuple(rows))


def _size_rows(size: Size, optimizer: str) -> list[tuple[str, ...]]:
    every, trained, weights, checkpoint, int8, macs = _counts(size, optimizer)
    return [
        ("parameters, statistics included", f"{every:,}"),
        ("trained parameters", f"{trained:,}"),
        ("float32 weights alone", _mib(weights)),
        (f"training checkpoint, {optimizer} and its state", _mib(checkpoint)),
        ("INT8 weights, about", _mib(int8)),
        ("multiply-accumulates for one input", f"{macs:,}"),
    ]


def _counts(size: Size, optimizer: str) -> tuple[int, ...]:
    return (size.parameters, size.trained, size.weight_bytes, size.checkpoint_bytes(optimizer),
            size.int8_bytes, size.macs)  # fmt: skip


def _mib(size: int) -> str:
    return f"{size / MIB:.2f} MiB"


def _share(before: int, after: int) -> str:
    return f"{after / before:.1%}" if before else ""


def _remaining(before: Size, after: Size) -> str:
    ratio = after.parameters / before.parameters
    return f"{ratio:.1%} of the parameters remain, {1 - ratio:.1%} are gone"


def ratio_in_words(before: Size, after: Size) -> str:
    """Return what a remaining ratio means, so that nobody reads it the other way round."""
    ratio = after.parameters / before.parameters
    return (
        f"pruning ratio {ratio:.4f}: {_remaining(before, after)} "
        f"({before.parameters:,} → {after.parameters:,}; "
        f"MACs {before.macs:,} → {after.macs:,})"
    )
