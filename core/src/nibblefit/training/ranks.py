"""What the processes of one training tell each other."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def sum_over_ranks(values: Tensor) -> Tensor:
    """Return the sum over all processes; the argument itself with one process."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def from_first_rank(value: Any) -> Any:
    """Return the first process's value in every process."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def agree_on_buffers(network: nn.Module) -> None:
    """Replace every floating-point buffer by its mean over all processes.

    Each process sees its own share of a batch, so running statistics drift apart; their mean is
    what one process would have seen, up to the variance between shares. Values equal everywhere
    (constants kept as buffers) stay exactly as they are.
    """
    if not dist.is_initialized():
        return
    buffers = [b for b in network.buffers() if b.is_floating_point() and b.numel()]
    if not buffers:
        return
    own = torch.cat([buffer.detach().reshape(-1).double() for buffer in buffers])
    every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(every, own)
    # First plus mean difference, not a plain mean: equal values then give zero differences.
    drift = torch.stack([values - every[0] for values in every]).mean(0)
    sizes = [buffer.numel() for buffer in buffers]
    agreed = torch.split(every[0] + drift, sizes)
    for buffer, values in zip(buffers, agreed, strict=True):
        buffer.data.copy_(values.reshape(buffer.shape))
