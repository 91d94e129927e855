"""Values on their way between hardware layers: what was read, and what still waits to be done."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nibblefit.ir.graph import Shape
from nibblefit_maxim.fusing.windows import pooled_shape
from nibblefit_maxim.layers import Eltwise, Pool


@dataclass(frozen=True, slots=True)
class Value:
    """A float tensor as the next layer would read it.

    A hardware layer pools and combines before its operator, so pools, additions, concatenations
    and flattening wait here until an operator, or the end of the network, asks for them.

    Attributes:
        sources: Layers (or the network's input) whose tensors are read.
        operand_shape: Shape of one operand, or of the concatenation, before pooling, as the
            hardware holds it.
        shape: Shape of the float tensor, before flattening. The hardware's data may be larger at
            the end of each axis; what lies there belongs to no float tensor.
        eltwise: How the sources are combined; None: one source, or a concatenation.
        pool: Pooling that waits.
        pool_first: The pooling acts on each operand, before they are combined.
        is_flat: The tensor has been flattened to features.
        is_shared: Somebody else reads a tensor between the layer and here, so nothing may be
            fused into the layer any more.
        nodes: Names of the float nodes that wait.
        flattening: Names of the float nodes that only reshaped.
        label: Name for the layer that would carry out what waits.
        host: Name of the tensor on the host processor that it is; empty: on the accelerator.
    """

    sources: tuple[str, ...]
    operand_shape: Shape
    shape: Shape
    eltwise: Eltwise | None = None
    pool: Pool | None = None
    pool_first: bool = True
    is_flat: bool = False
    is_shared: bool = False
    nodes: tuple[str, ...] = ()
    flattening: tuple[str, ...] = ()
    label: str = ""
    host: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is just one layer's tensor, flattened or not."""
        return len(self.sources) == 1 and self.eltwise is None and self.pool is None

    @property
    def is_concatenation(self) -> bool:
        """Whether several tensors lie side by side."""
        return self.eltwise is None and len(self.sources) > 1

    @property
    def is_subsampled(self) -> bool:
        """Whether the pooling that waits only skips positions."""
        return self.pool is not None and max(self.pool.window) == 1

    @property
    def held_shape(self) -> Shape:
        """Shape of the data that reaches the operator, as the hardware holds it."""
        return (
            self.operand_shape if self.pool is None else pooled_shape(self.pool, self.operand_shape)
        )

    @property
    def surplus(self) -> tuple[int, ...]:
        """Positions at the end of each axis that belong to no float tensor."""
        pairs = zip(self.held_shape[1:], self.shape[1:], strict=True)
        return tuple(held - wanted for held, wanted in pairs)

    @property
    def float_shape(self) -> Shape:
        """Shape of the float tensor."""
        return (prod(self.shape),) if self.is_flat else self.shape
