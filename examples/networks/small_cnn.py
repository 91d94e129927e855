"""A small convolutional network for images of one or three channels, such as MNIST's."""

from __future__ import annotations

from torch import nn

INPUT_SHAPE = (1, 28, 28)


def block(inputs: int, outputs: int) -> list[nn.Module]:
    """Return convolution, batch norm, ReLU."""
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def build(channels: int = 1, size: int = 28, classes: int = 10, width: int = 16) -> nn.Module:
    """Return the network.

    Args:
        channels: Channels of the input.
        size: Height and width of the input.
        classes: Number of outputs.
        width: Channels of the first layer; later ones have two and three times as many.
    """
    left = size // 2 // 2 // 2
    return nn.Sequential(
        *block(channels, width),
        nn.MaxPool2d(2),
        *block(width, 2 * width),
        nn.MaxPool2d(2),
        *block(2 * width, 3 * width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(3 * width * left * left, classes),
    )
