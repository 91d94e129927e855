"""Padding of spatial axes, in the order of axes that graphs use."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor


def pad_spatial(
    x: Tensor, begins: Sequence[int], ends: Sequence[int], value: float = 0.0
) -> Tensor:
    """Pad the last ``len(begins)`` axes; negative amounts crop."""
    amounts = [n for pair in zip(reversed(begins), reversed(ends)) for n in pair]
    return F.pad(x, amounts, value=value)
