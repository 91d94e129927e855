"""What each Caffe layer means in the canonical graph; one module per family."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit_tidl.caffe.layers import (
    activations,
    combining,
    normalization,
    pooling,
    shaping,
    weighted,
)
from nibblefit_tidl.caffe.site import Handler

HANDLERS: Mapping[str, Handler] = {
    **weighted.HANDLERS,
    **pooling.HANDLERS,
    **activations.HANDLERS,
    **normalization.HANDLERS,
    **combining.HANDLERS,
    **shaping.HANDLERS,
}
