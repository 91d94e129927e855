"""Building blocks: convolution with batch norm and ReLU, and the offset in front."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from nibblefit.errors import InputError

_Network = TypeVar("_Network", bound=nn.Module)
#: Batch norm of caffe-jacinto's networks: epsilon 1e-4, moving average 0.99.
EPSILON, MOMENTUM = 1e-4, 0.01


class InputOffset(nn.Module):
    """Adds a fixed number to every pixel: −128 centres stored pixels of 0 to 255."""

    def __init__(self, channels: int, offset: float = -128.0) -> None:
        super().__init__()
        self.register_buffer("bias", torch.full((channels,), offset))
        self.bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus the offset."""
        return x + self.bias.view(-1, 1, 1)


def conv_bn_relu(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    groups: int = 1,
    dilation: int = 1,
    bias: bool = True,
) -> nn.Sequential:
    """Return convolution, batch norm and ReLU; padding keeps the size at stride 1.

    The convolution keeps a bias beside the batch norm, as in caffe-jacinto: folding then changes
    values only, not the number of parameters.
    """
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=dilation * (kernel // 2),
        dilation=dilation, groups=groups, bias=bias,
    )  # fmt: skip
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    norm = nn.BatchNorm2d(outputs, eps=EPSILON, momentum=MOMENTUM)
    return nn.Sequential(convolution, norm, nn.ReLU())


def averaging(network: _Network, share: float) -> _Network:
    """Return the network with another share of each batch in batch norm's running statistics.

    TI's 0.01 (`MOMENTUM`) wants ten thousands of steps: in a short training with a strong L1 the
    statistics fall behind the shrinking weights, and the network is worse than it has learnt to be.

    Raises:
        InputError: The share is not above 0 and at most 1.
    """
    if not 0.0 < share <= 1.0:
        raise InputError(f"statistics is {share}; expected a number above 0, at most 1")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = share
    return network


def offset_or_nothing(channels: int, offset: float) -> nn.Module:
    """Return the offset layer, or nothing where the data are centred already."""
    return InputOffset(channels, offset) if offset else nn.Identity()
