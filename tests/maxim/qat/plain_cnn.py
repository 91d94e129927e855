"""A network for the digits without batch norm: its training is the same in any number of shares."""

from __future__ import annotations

from torch import nn


def build() -> nn.Module:
    """Return the network."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
