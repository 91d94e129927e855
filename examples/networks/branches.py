"""Branches of different depth, joined by concatenation, as in Inception and SqueezeNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

INPUT_SHAPE = (3, 32, 32)


class Branches(nn.Module):
    """1×1, 3×3, 5×5 and pooled branches side by side."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.point = nn.Conv2d(channels, width, 1)
        self.middle = nn.Sequential(
            nn.Conv2d(channels, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, padding="same")
        )
        self.wide = nn.Conv2d(channels, width, 5, padding=2)
        self.pooled = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the four branches along the channel axis."""
        pooled = self.pooled(F.avg_pool2d(x, 3, stride=1, padding=1))
        return F.relu(torch.cat([self.point(x), self.middle(x), self.wide(x), pooled], dim=1))


def build(classes: int = 10, width: int = 8) -> nn.Module:
    """Return the network."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1),
        Branches(width, width),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        Branches(4 * width, width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )
