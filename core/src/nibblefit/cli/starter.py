"""The network ``nibblefit init`` writes when the user brings none."""

from __future__ import annotations

FILE_NAME = "network.py"
FACTORY = "small_cnn"

#: Fits the smallest supported chips: 3×3 kernels, at most 32 channels, pooling by two.
TEXT = '''"""A small convolutional network to start from; change it or replace it with your own."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def small_cnn(channels: int = 16, classes: int = 10) -> nn.Module:
    """Return a CNN for inputs of shape (1, 8, 8), such as the bundled digits."""
    layers = OrderedDict(
        conv1=nn.Conv2d(1, channels, 3, padding=1, bias=False),
        norm1=nn.BatchNorm2d(channels),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False),
        norm2=nn.BatchNorm2d(2 * channels),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        classify=nn.Linear(2 * channels * 2 * 2, classes),
    )
    return nn.Sequential(layers)
'''
