"""Residual blocks between pools, for 28×28 images, small enough for a microcontroller."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INPUT_SHAPE = (1, 28, 28)


class Block(nn.Module):
    """Two 3×3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(F(x) + x)."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + x)


def widen(inputs: int, outputs: int) -> nn.Module:
    """Return convolution, batch norm, ReLU, and a pool that halves the plane."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


def build(classes: int = 10, width: int = 16) -> nn.Module:
    """Return the network.

    Args:
        classes: Number of outputs.
        width: Channels of the first block; the second has twice as many.
    """
    return nn.Sequential(
        widen(1, width),
        Block(width),
        widen(width, 2 * width),
        Block(2 * width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(2 * width * 3 * 3, classes),
    )
