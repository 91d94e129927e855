"""One handler per ONNX operator, by family."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.nn.onnx_import.handlers import (
    activations,
    arithmetic,
    convolution,
    joining,
    normalization,
    picking,
    pooling,
    products,
    reductions,
    resizing,
    shaping,
)
from nibblefit.nn.onnx_import.site import Handler

HANDLERS: Mapping[str, Handler] = {
    **activations.HANDLERS,
    **arithmetic.HANDLERS,
    **convolution.HANDLERS,
    **joining.HANDLERS,
    **normalization.HANDLERS,
    **picking.HANDLERS,
    **pooling.HANDLERS,
    **products.HANDLERS,
    **reductions.HANDLERS,
    **resizing.HANDLERS,
    **shaping.HANDLERS,
}
