"""A 1-D convolutional network that reads an image as a sequence of rows, 28 pixels per step."""

from __future__ import annotations

from torch import nn

INPUT_SHAPE = (28, 28)


def block(inputs: int, outputs: int) -> list[nn.Module]:
    """Return 1-D convolution, batch norm, ReLU."""
    return [
        nn.Conv1d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    ]


def build(
    channels: int = 28, steps: int = 28, classes: int = 10, width: int = 64, dropout: float = 0.3
) -> nn.Module:
    """Return the network.

    Args:
        channels: Values per step.
        steps: Length of the sequence.
        classes: Number of outputs.
        width: Channels of the first two layers; the last two have half as many more.
        dropout: Share of activations dropped before the classifier in training.
    """
    wide = width * 3 // 2
    return nn.Sequential(
        *block(channels, width),
        *block(width, width),
        nn.MaxPool1d(2),
        *block(width, wide),
        nn.MaxPool1d(2),
        *block(wide, wide),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(wide * (steps // 2 // 2), classes),
    )
