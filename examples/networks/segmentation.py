"""A small U-Net: down, up by interpolation and transposed convolution, skips by concatenation."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

INPUT_SHAPE = (3, 32, 32)


def _double(channels: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.125),
        nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.LeakyReLU(0.125),
    )  # fmt: skip


class UNet(nn.Module):
    """Two levels."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.down1 = _double(3, width)
        self.down2 = _double(width, 2 * width)
        self.bottom = _double(2 * width, 2 * width)
        self.up2 = _double(4 * width, width)
        self.lift = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.up1 = _double(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class and pixel."""
        fine = self.down1(x)
        middle = self.down2(F.max_pool2d(fine, 2))
        low = self.bottom(F.max_pool2d(middle, 2))
        low = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
        x = self.up2(torch.cat([low, middle], dim=1))
        x = self.up1(torch.cat([self.lift(x), fine], dim=1))
        return self.head(x)


def build(classes: int = 3, width: int = 8) -> nn.Module:
    """Return the network."""
    return UNet(classes, width)
