"""MobileNet V1: depthwise and pointwise convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit_tidl.zoo.blocks import conv_bn_relu, offset_or_nothing

#: (output channels, stride) of each depthwise-pointwise pair (Howard et al., 2017, table 1).
_PAIRS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class MobileNetV1(nn.Module):
    """Thirteen depthwise-separable pairs behind one convolution.

    Args:
        classes: Outputs.
        channels: Of the picture.
        width: Factor on every number of channels; results are rounded to whole multiples of 8.
        offset: Added to every pixel first.
    """

    def __init__(
        self, classes: int = 1000, channels: int = 3, width: float = 1.0, offset: float = 0.0
    ) -> None:
        super().__init__()
        if width <= 0:
            raise InputError(f"width is {width}; expected a number above 0")
        self.offset = offset_or_nothing(channels, offset)
        inputs = _scaled(32, width)
        self.conv1 = conv_bn_relu(channels, inputs, stride=2, bias=False)
        pairs: list[nn.Module] = []
        for full, stride in _PAIRS:
            outputs = _scaled(full, width)
            pairs += [
                conv_bn_relu(inputs, inputs, stride=stride, groups=inputs, bias=False),
                conv_bn_relu(inputs, outputs, 1, bias=False),
            ]
            inputs = outputs
        self.pairs = nn.Sequential(*pairs)
        self.pool6 = nn.AdaptiveAvgPool2d(1)
        self.fc7 = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (batch, classes)."""
        features = self.pool6(self.pairs(self.conv1(self.offset(x))))
        scores: Tensor = self.fc7(torch.flatten(features, 1))
        return scores


def _scaled(channels: int, width: float) -> int:
    return max(8, 8 * round(channels * width / 8))


def mobilenetv1(
    classes: int = 1000, channels: int = 3, width: float = 1.0, offset: float = 0.0
) -> MobileNetV1:
    """Return MobileNet V1 (567.70 MMAC at 224 × 224 and width 1)."""
    return MobileNetV1(classes, channels, width, offset)
