"""JacintoNet11: TI's classifier, and the base of its segmenter and detector."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit_tidl.zoo.blocks import MOMENTUM, averaging, conv_bn_relu, offset_or_nothing

#: Strides of the first convolution and of the four pools behind stages 1 to 4.
IMAGENET_STRIDES = (2, 2, 2, 2, 2)
CIFAR10_STRIDES = (1, 1, 2, 1, 2)
#: Every second convolution of a stage has four groups.
_GROUPS = 4


class JacintoNet11Base(nn.Module):
    """Ten convolutions in five stages, with a pool behind each of the first four.

    Args:
        channels: Of the picture.
        width: Channels of the first stage; each stage doubles them.
        strides: Of the first convolution and of the four pools; a pool of stride 1 has kernel 1.
        dilation: Of the last stage, 2 where its pool does not halve.
        offset: Added to every pixel first; −128 for pixels of 0 to 255, 0 for none.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 32,
        strides: Sequence[int] = IMAGENET_STRIDES,
        dilation: int = 1,
        offset: float = -128.0,
    ) -> None:
        super().__init__()
        if len(strides) != 5:
            raise InputError(
                f"strides of JacintoNet11 are {tuple(strides)}; expected five",
                hint="one for the first convolution, four for the pools",
            )
        if width < 1 or width % _GROUPS:
            raise InputError(f"width is {width}; expected a multiple of {_GROUPS}")
        self.offset = offset_or_nothing(channels, offset)
        self.widths = tuple(width * 2**stage for stage in range(5))
        self.conv1a = conv_bn_relu(channels, width, 5, stride=strides[0])
        self.conv1b = conv_bn_relu(width, width, groups=_GROUPS)
        self.pool1, self.pool2, self.pool3, self.pool4 = (
            nn.MaxPool2d(min(2, stride), stride, ceil_mode=stride > 1) for stride in strides[1:]
        )
        self.res2a, self.res2b = _stage(self.widths[0], self.widths[1])
        self.res3a, self.res3b = _stage(self.widths[1], self.widths[2])
        self.res4a, self.res4b = _stage(self.widths[2], self.widths[3])
        self.res5a, self.res5b = _stage(self.widths[3], self.widths[4], dilation)

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the output of every stage, before its pool."""
        one = self.conv1b(self.conv1a(self.offset(x)))
        two = self.res2b(self.res2a(self.pool1(one)))
        three = self.res3b(self.res3a(self.pool2(two)))
        four = self.res4b(self.res4a(self.pool3(three)))
        five = self.res5b(self.res5a(self.pool4(four)))
        return one, two, three, four, five

    def forward(self, x: Tensor) -> Tensor:
        """Return the last stage's output."""
        return self.stages(x)[-1]


def _stage(inputs: int, outputs: int, dilation: int = 1) -> tuple[nn.Module, nn.Module]:
    return (
        conv_bn_relu(inputs, outputs, dilation=dilation),
        conv_bn_relu(outputs, outputs, groups=_GROUPS, dilation=dilation),
    )


class JacintoNet11(nn.Module):
    """The classifier: base, global average, one fully connected layer.

    Args:
        base: The convolutional part.
        classes: Outputs.
    """

    def __init__(self, base: JacintoNet11Base, classes: int) -> None:
        super().__init__()
        self.base = base
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(base.widths[-1], classes)
        nn.init.kaiming_normal_(self.fc.weight, nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (batch, classes)."""
        scores: Tensor = self.fc(torch.flatten(self.pool5(self.base(x)), 1))
        return scores


def jacintonet11(
    classes: int = 1000,
    channels: int = 3,
    width: int = 32,
    strides: Sequence[int] = IMAGENET_STRIDES,
    offset: float = -128.0,
    *,
    statistics: float = MOMENTUM,
) -> JacintoNet11:
    """Return JacintoNet11 v2 as published for ImageNet (405.81 MMAC at 224 × 224).

    Args:
        classes: Outputs.
        channels: Of the picture, 1 for gray ones.
        width: Channels of the first stage; 32 is TI's.
        strides: Of the first convolution and of the four pools; small pictures want more ones.
        offset: Added to every pixel first; 0 where ``data.range`` centres them already.
        statistics: Share of a batch in the running statistics of batch norm; 0.1 in short
            trainings, see `nibblefit_tidl.zoo.blocks.averaging`.
    """
    base = JacintoNet11Base(channels, width, strides, 1, offset)
    return averaging(JacintoNet11(base, classes), statistics)


def jacintonet11_cifar10(
    classes: int = 10,
    channels: int = 3,
    width: int = 32,
    offset: float = -128.0,
    *,
    statistics: float = MOMENTUM,
) -> JacintoNet11:
    """Return the variant for pictures of about 32 × 32 (287.94 MMAC at that size)."""
    return jacintonet11(classes, channels, width, CIFAR10_STRIDES, offset, statistics=statistics)
