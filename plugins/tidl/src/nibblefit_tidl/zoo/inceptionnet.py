"""InceptionNet V1 as in TF-Slim: 3 × 3 convolutions in place of 5 × 5 ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nibblefit_tidl.zoo.blocks import conv_bn_relu, offset_or_nothing

#: Channels of each module: 1 × 1; reduced, 3 × 3; reduced, second 3 × 3; behind the pool
#: (Szegedy et al., 2015, table 1).
_Widths = tuple[int, int, int, int, int, int]
_MODULES: tuple[tuple[_Widths, ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip


class Inception(nn.Module):
    """Four branches side by side: 1 × 1, two times 1 × 1 with 3 × 3, pool with 1 × 1."""

    def __init__(self, inputs: int, widths: _Widths) -> None:
        super().__init__()
        one, reduced, three, reduced_too, three_too, pooled = widths
        self.branch0 = conv_bn_relu(inputs, one, 1, bias=False)
        self.branch1 = _branch(inputs, reduced, three)
        self.branch2 = _branch(inputs, reduced_too, three_too)
        self.pool = nn.MaxPool2d(3, 1, padding=1)
        self.branch3 = conv_bn_relu(inputs, pooled, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches joined."""
        pooled = self.branch3(self.pool(x))
        return torch.cat([self.branch0(x), self.branch1(x), self.branch2(x), pooled], dim=1)


def _branch(inputs: int, reduced: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        conv_bn_relu(inputs, reduced, 1, bias=False), conv_bn_relu(reduced, outputs, bias=False)
    )


class InceptionNetV1(nn.Module):
    """Three convolutions and nine modules in three groups, pools between them.

    Args:
        classes: Outputs.
        channels: Of the picture.
        offset: Added to every pixel first.
    """

    def __init__(self, classes: int = 1001, channels: int = 3, offset: float = 0.0) -> None:
        super().__init__()
        self.offset = offset_or_nothing(channels, offset)
        self.stem = nn.Sequential(
            conv_bn_relu(channels, 64, 7, stride=2, bias=False),
            _halving(),
            conv_bn_relu(64, 64, 1, bias=False),
            conv_bn_relu(64, 192, bias=False),
            _halving(),
        )
        groups, inputs = [], 192
        for number, modules in enumerate(_MODULES):
            layers: list[nn.Module] = [_halving()] if number else []
            for widths in modules:
                layers.append(Inception(inputs, widths))
                inputs = widths[0] + widths[2] + widths[4] + widths[5]
            groups.append(nn.Sequential(*layers))
        self.modules_ = nn.Sequential(*groups)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.logits = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (batch, classes)."""
        features = self.modules_(self.stem(self.offset(x)))
        scores: Tensor = self.logits(self.dropout(torch.flatten(self.pool(features), 1)))
        return scores


def _halving() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def inceptionnetv1(classes: int = 1001, channels: int = 3, offset: float = 0.0) -> InceptionNetV1:
    """Return InceptionNet V1 (1497.37 MMAC at 224 × 224)."""
    return InceptionNetV1(classes, channels, offset)
