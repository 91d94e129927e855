"""What enters a layer's operator: operands pooled and combined, or members concatenated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.nn.words import words_or, words_xor
from nibblefit_maxim.layers import Eltwise, HardwareLayer, Pool, PoolKind
from nibblefit_maxim.numerics import DATA_BITS, DATA_FRAC
from nibblefit_maxim.qat.rounding import HIGH, LOW, whole_average

_WORDS = {Eltwise.OR: words_or, Eltwise.XOR: words_xor}


def gather(layer: HardwareLayer, tensors: Sequence[Tensor], *, quantized: bool) -> Tensor:
    """Return what enters the operator.

    Args:
        layer: The layer.
        tensors: Its inputs: codes if `quantized`, else real values.
        quantized: Truncate averages and clip sums as the hardware does.
    """
    if layer.packed:
        # Operands that arrive side by side in one tensor.
        tensors = tensors[0].chunk(layer.packed, dim=1)
    spatial = layer.input_shape[1:]
    # The same memory may be read with other rows and columns than it was written with.
    tensors = [x if x.shape[2:] == spatial else x.reshape(*x.shape[:2], *spatial) for x in tensors]
    if layer.eltwise is None:
        x = torch.cat(list(tensors), dim=1) if len(tensors) > 1 else tensors[0]
        return pooled(x, layer.pool, quantized=quantized)
    if layer.pool_first:
        tensors = [pooled(x, layer.pool, quantized=quantized) for x in tensors]
    total = combined(layer.eltwise, tensors, quantized=quantized)
    return total if layer.pool_first else pooled(total, layer.pool, quantized=quantized)


def combined(kind: Eltwise, tensors: Sequence[Tensor], *, quantized: bool) -> Tensor:
    """Return the operands combined from left to right; sums of codes are clipped to 8 bits.

    Bit operations work on codes, of real values on those with threshold 0; their gradient is that
    of a sum.
    """
    total = tensors[0]
    if kind in _WORDS:
        return _WORDS[kind](*tensors, bits=DATA_BITS, frac=0 if quantized else DATA_FRAC)
    for other in tensors[1:]:
        total = total + other if kind is Eltwise.ADD else total - other
    return total.clamp(LOW, HIGH) if quantized else total


def pooled(x: Tensor, pool: Pool | None, *, quantized: bool) -> Tensor:
    """Return a tensor pooled; a window of one with a stride is plain subsampling."""
    if pool is None:
        return x
    if max(pool.window) == 1:
        steps = (slice(None), slice(None), *(slice(None, None, s) for s in pool.stride))
        return x[steps]
    flat = len(pool.window) == 1
    if pool.kind is PoolKind.MAX:
        pick: Callable[..., Tensor] = functional.max_pool1d if flat else functional.max_pool2d
        return pick(x, pool.window, pool.stride, dilation=pool.dilation)
    mean: Callable[..., Tensor] = functional.avg_pool1d if flat else functional.avg_pool2d
    average = mean(x, pool.window, pool.stride)
    if not quantized:
        return average
    return whole_average(average, prod(pool.window), is_rounded=pool.is_rounded)
