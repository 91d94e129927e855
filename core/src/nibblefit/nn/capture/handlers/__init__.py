"""One handler per torch function: how its call is said in the graph's operators.

A handler has the function's own argument names and defaults, after the `Call`.
"""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.nn.capture.call import Handler
from nibblefit.nn.capture.handlers import (
    activations,
    arithmetic,
    convolution,
    indexing,
    joining,
    normalization,
    pooling,
    products,
    reductions,
    resizing,
    shaping,
    words,
)

HANDLERS: Mapping[str, Handler] = {
    **activations.HANDLERS,
    **arithmetic.HANDLERS,
    **convolution.HANDLERS,
    **indexing.HANDLERS,
    **joining.HANDLERS,
    **normalization.HANDLERS,
    **pooling.HANDLERS,
    **products.HANDLERS,
    **reductions.HANDLERS,
    **resizing.HANDLERS,
    **shaping.HANDLERS,
    **words.HANDLERS,
}
