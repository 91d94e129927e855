"""Small float networks for calibration tests, made of seeded numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.quantization.fold import fold
from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Device,
    Kind,
    Method,
    NetworkSetting,
    RoundMode,
    ScaleType,
    Statistic,
)


class Branches(nn.Module):
    """Convolutions, a residual sum, a concatenation, pools and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.deep = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.left, self.right = nn.Conv2d(8, 6, 1), nn.Conv2d(8, 6, 3, 1, 1)
        self.pool, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(4)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        x = torch.relu(self.stem(x))
        x = torch.relu(self.deep(x)) + x
        x = torch.cat([self.left(x), self.right(x)], 1)
        scores: Tensor = self.head(self.mean(self.pool(x)).flatten(1))
        return scores


def branches() -> Graph:
    """Return the network with seeded weights, as a folded graph."""
    torch.manual_seed(3)
    return fold(capture(Branches().eval(), (3, 16, 16)))


def images(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Return seeded images of the network's shape."""
    random = np.random.default_rng(seed)
    return (random.standard_normal((count, 3, 16, 16)) * 1.5 + 0.3).astype(np.float32)


def powers(statistic: Statistic = Statistic.POOLED, **network: Any) -> NetworkSetting:
    """Return the DPU's default setting with another statistic."""
    base = {k: replace(own, calib_statistic_method=statistic) for k, own in DPU_DEFAULT.items()}
    return NetworkSetting(base=base, **network)


def floats(
    method: Method = Method.MAXMIN, *, statistic: Statistic = Statistic.POOLED,
    kinds: Mapping[Kind, Mapping[str, Any]] | None = None, **network: Any,
) -> NetworkSetting:  # fmt: skip
    """Return a setting with float scales; `kinds` changes single kinds of tensors."""
    base = {
        kind: replace(
            own, method=method, round_mode=RoundMode.HALF_EVEN, scale_type=ScaleType.FLOAT,
            calib_statistic_method=statistic, **(kinds or {}).get(kind, {}),
        )
        for kind, own in DPU_DEFAULT.items()
    }  # fmt: skip
    return NetworkSetting(device=Device.CPU, base=base, **network)
