"""A small convolutional network for the 8×8 handwritten digits: plain PyTorch, nothing special."""

from __future__ import annotations

from torch import nn

INPUT_SHAPE = (1, 8, 8)


def build(classes: int = 10, width: int = 16, dropout: float = 0.1) -> nn.Module:
    """Return the network.

    Args:
        classes: Number of outputs.
        width: Channels of the first layer.
        dropout: Share of activations dropped in training.
    """
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * width * 2 * 2, classes),
    )
