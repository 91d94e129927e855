"""ResNet-18 as TAO builds it, the part that its networks share."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

#: Channels of the stages, and their first strides in detectors and in classifiers.
WIDTHS = (64, 128, 256, 512)
STRIDES = (2, 2, 2, 1)
CLASSIFIER_STRIDES = (1, 2, 2, 2)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, projected by a 1x1 convolution where asked for."""

    def __init__(self, into: int, out: int, stride: int, *, projection: bool = True) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.bn_1 = nn.BatchNorm2d(out)
        self.conv_2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn_2 = nn.BatchNorm2d(out)
        self.projected = projection or stride != 1 or into != out
        if self.projected:
            self.conv_shortcut = nn.Conv2d(into, out, 1, stride, bias=False)
            self.bn_shortcut = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both ways, rectified."""
        y = self.bn_2(self.conv_2(F.relu(self.bn_1(self.conv_1(x)))))
        return F.relu(y + (self.bn_shortcut(self.conv_shortcut(x)) if self.projected else x))


class Backbone(nn.Module):
    """First convolution and four stages of two blocks.

    Args:
        channels: Channels of the picture.
        width: Factor on all channels.
        strides: First stride of each stage.
        projections: A 1x1 convolution at every shortcut, which keeps groups of coupled layers
            small; otherwise only where shapes change.
        pooling: Max pooling after the first convolution.
    """

    def __init__(self, channels: int, width: float, strides: tuple[int, ...], *,
                 projections: bool = True, pooling: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.widths = [scaled(out, width) for out in WIDTHS]
        self.conv1 = nn.Conv2d(channels, self.widths[0], 7, 2, 3, bias=False)
        self.bn_conv1 = nn.BatchNorm2d(self.widths[0])
        self.pooling = pooling
        into = self.widths[0]
        for number, (out, stride) in enumerate(zip(self.widths, strides, strict=True), start=1):
            first = Block(into, out, stride, projection=projections)
            self.add_module(f"block_{number}a", first)
            self.add_module(f"block_{number}b", Block(out, out, 1, projection=projections))
            into = out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the second and of the last stage."""
        x = F.relu(self.bn_conv1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.pooling else x
        second = x
        for number in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"block_{number}b")(self.get_submodule(f"block_{number}a")(x))
            second = x if number == 2 else second
        return second, x


def scaled(channels: int, width: float) -> int:
    """Return a number of channels times a factor, a multiple of 8."""
    return max(8, round(channels * width / 8) * 8)


def initialize(module: nn.Module) -> None:
    """Give a convolution the weights that TAO starts from (He)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
