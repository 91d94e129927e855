"""One emitter per operator of ours: how it is written in XIR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit_vitis.xir.building import Builder
from nibblefit_vitis.xir.operators import activations, combining, movers, products, windows

Emitter: TypeAlias = Callable[[Builder, Node], None]

EMITTERS: Mapping[Op, Emitter] = {
    **activations.EMITTERS,
    **combining.EMITTERS,
    **movers.EMITTERS,
    **products.EMITTERS,
    **windows.EMITTERS,
}
