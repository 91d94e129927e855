"""ResNet-18 (He et al., 2016), for photographs and for small pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Channels of the four stages; each has two blocks, and all but the first halve the picture.
STAGES = (64, 128, 256, 512)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected by a 1x1 convolution where shapes change."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.projected = stride != 1 or into != out
        if self.projected:
            self.projection = nn.Conv2d(into, out, 1, stride, bias=False)
            self.projection_bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified sum of both ways."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        shortcut = self.projection_bn(self.projection(x)) if self.projected else x
        return torch.relu(y + shortcut)


class ResNet18(nn.Module):
    """Class scores of pictures; 11,689,512 parameters as published, with 1,000 classes.

    Its parts are ``backbone.*`` and ``head.*``, so that another head can be trained by name.

    Args:
        classes: Number of classes.
        channels: Channels of a picture.
        width: Factor on all channels; results are rounded to whole channels, at least one.
        small_input: For pictures of about 32x32: the first convolution is 3x3 with stride 1, and
            nothing is pooled after it. Otherwise 7x7 with stride 2, then a 3x3 maximum.
    """

    def __init__(self, classes: int = 1000, channels: int = 3, width: float = 1.0, *,
                 small_input: bool = False) -> None:  # fmt: skip
        super().__init__()
        widths = [max(1, round(stage * width)) for stage in STAGES]
        self.backbone = nn.Sequential()
        stem = (3, 1, 1) if small_input else (7, 2, 3)
        self.backbone.add_module("conv", nn.Conv2d(channels, widths[0], *stem, bias=False))
        self.backbone.add_module("bn", nn.BatchNorm2d(widths[0]))
        self.backbone.add_module("relu", nn.ReLU())
        if not small_input:
            self.backbone.add_module("pool", nn.MaxPool2d(3, 2, 1))
        into = widths[0]
        for number, out in enumerate(widths, start=1):
            first = Block(into, out, 1 if number == 1 else 2)
            self.backbone.add_module(f"stage{number}", nn.Sequential(first, Block(out, out, 1)))
            into = out
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(into, classes)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores, (batch, classes)."""
        scores: Tensor = self.head(self.mean(self.backbone(x)).flatten(1))
        return scores


def _initialize(module: nn.Module) -> None:
    """Start convolutions as He et al. (2015) do."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
