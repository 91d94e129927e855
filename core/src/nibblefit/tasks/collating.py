"""Joining samples into batches, and targets of any origin into tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def stack_inputs(samples: Sequence[tuple[Any, Any]]) -> Tensor:
    """Return the inputs of (input, target) samples as one batch tensor."""
    return torch.from_numpy(np.stack([np.asarray(sample[0], np.float32) for sample in samples]))


def as_tensor(target: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a batch target — tensor, array, or list of numbers or arrays — on a device."""
    if isinstance(target, Tensor):
        return target.to(device=device, dtype=dtype)
    return torch.as_tensor(np.asarray(target), dtype=dtype, device=device)
