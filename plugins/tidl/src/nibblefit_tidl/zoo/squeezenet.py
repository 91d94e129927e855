"""SqueezeNet 1.1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nibblefit_tidl.zoo.blocks import offset_or_nothing

#: Channels of squeeze and expand of the fire modules behind pools 1, 3 and 5 (version 1.1).
_FIRES = (((16, 64), (16, 64)), ((32, 128), (32, 128)),
          ((48, 192), (48, 192), (64, 256), (64, 256)))  # fmt: skip


class Fire(nn.Module):
    """A 1 × 1 convolution that squeezes, then 1 × 1 and 3 × 3 side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = _convolution(inputs, squeeze, 1)
        self.expand1x1 = _convolution(squeeze, expand, 1)
        self.expand3x3 = _convolution(squeeze, expand, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return both halves joined."""
        squeezed = self.squeeze(x)
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1)


class SqueezeNet(nn.Module):
    """Version 1.1: one convolution, eight fire modules, a convolution as classifier.

    Args:
        classes: Outputs.
        channels: Of the picture.
        padding: Of the first convolution. 0 is Caffe's network (conv1 113 × 113 at 227,
            387.73 MMAC). 1 gives 114 × 114, as frameworks do that round sizes up ("same"), and
            with it TI's printed 390.8 MMAC.
        offset: Added to every pixel first.
    """

    def __init__(
        self, classes: int = 1000, channels: int = 3, padding: int = 0, offset: float = 0.0
    ) -> None:
        super().__init__()
        self.offset = offset_or_nothing(channels, offset)
        self.conv1 = nn.Sequential(nn.Conv2d(channels, 64, 3, 2, padding=padding), nn.ReLU())
        groups, inputs = [], 64
        for fires in _FIRES:
            modules: list[nn.Module] = [nn.MaxPool2d(3, 2, ceil_mode=True)]
            for squeeze, expand in fires:
                modules.append(Fire(inputs, squeeze, expand))
                inputs = 2 * expand
            groups.append(nn.Sequential(*modules))
        self.fires = nn.Sequential(*groups)
        self.dropout = nn.Dropout(0.5)
        self.conv10 = _convolution(inputs, classes, 1)
        self.pool10 = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (batch, classes)."""
        features = self.fires(self.conv1(self.offset(x)))
        scores = self.pool10(self.conv10(self.dropout(features)))
        return torch.flatten(scores, 1)


def _convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU())


def squeezenet(
    classes: int = 1000, channels: int = 3, padding: int = 0, offset: float = 0.0
) -> SqueezeNet:
    """Return SqueezeNet 1.1; see `SqueezeNet` for the two ways of counting its operations."""
    return SqueezeNet(classes, channels, padding, offset)
