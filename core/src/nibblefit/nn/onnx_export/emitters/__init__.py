"""One emitter per operator: how its node is written in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from nibblefit.ir.graph import Node
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.emitters import (
    elementwise,
    layers,
    movers,
    pooling,
    resizing,
    words,
)
from nibblefit.nn.onnx_export.writer import Writer

Emitter: TypeAlias = Callable[[Writer, Node], object]

EMITTERS: Mapping[Op, Emitter] = {
    **elementwise.EMITTERS,
    **layers.EMITTERS,
    **movers.EMITTERS,
    **pooling.EMITTERS,
    **resizing.EMITTERS,
    **words.EMITTERS,
}
