"""Choosing a layer's kernel: the first in order of speed whose proof succeeds."""

from __future__ import annotations

from nibblefit.engine import dense_layers, int8_layers
from nibblefit.engine.ranges import UnprovableError
from nibblefit.engine.task import Kernel, Task, whole
from nibblefit.engine.weighted import NotApplicableError, layer_of

_ON_PROCESSOR = (
    int8_layers.fused_kernel,
    int8_layers.sums_kernel,
    dense_layers.float32_kernel,
    dense_layers.float64_kernel,
    dense_layers.int64_kernel,
)


def build_layer(task: Task) -> Kernel:
    """Return the fastest exact kernel of a convolution or linear layer.

    Raises:
        UnprovableError: No kernel can be shown to stay inside int64.
    """
    layer = layer_of(task)
    whole(layer.raw)
    refused: list[str] = []
    candidates = _ON_PROCESSOR if task.device.type == "cpu" else _ON_PROCESSOR[2:]
    for candidate in candidates:
        try:
            kernel = candidate(task, layer)
        except NotApplicableError as why:
            refused.append(str(why))
        else:
            return kernel.explained(refused)
    raise UnprovableError("; ".join(refused))
