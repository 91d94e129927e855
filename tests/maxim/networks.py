"""Small float networks as plain torch modules, captured, with lively batch norm statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.ir.graph import Graph
from nibblefit.nn.capture.entry import capture


class Chain(nn.Module):
    """Everything a chain has: batch norm, both pools, more than 64 channels, flatten, linear."""

    def __init__(self, wide: int = 72) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(12)
        self.conv2 = nn.Conv2d(12, wide, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, 16, 1)
        self.head = nn.Linear(16 * 4, 10)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        x = self.relu(self.norm1(self.conv1(x)))
        x = functional.max_pool2d(x, 2)
        x = self.relu(self.norm2(self.conv2(x)))
        x = functional.avg_pool2d(x, 2)
        return self.head(torch.abs(self.conv3(x)).flatten(1))


class Residual(nn.Module):
    """Two residual blocks, one with stride 2, and global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.shortcut = nn.Conv2d(8, 12, 1, stride=2)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.b(torch.relu(self.norm(self.a(x)))))
        x = torch.relu(self.c(x) + self.shortcut(x))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norms statistics that matter, and return the module in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            count = child.num_features
            child.running_mean.copy_(0.3 * torch.randn(count, generator=generator))
            child.running_var.copy_(0.5 + torch.rand(count, generator=generator))
            child.weight.data.copy_(0.5 + torch.rand(count, generator=generator))
            child.bias.data.copy_(0.3 * torch.randn(count, generator=generator))
    return module.eval()


def captured(module: nn.Module, shape: Sequence[int], *, seed: int = 0) -> Graph:
    """Return the graph of a module."""
    return capture(lively(module, seed), tuple(shape))


def seeded(build: type[nn.Module], seed: int = 0) -> nn.Module:
    """Build a module with seeded weights."""
    torch.manual_seed(seed)
    return build()


def random_inputs(shape: Sequence[int], count: int, seed: int = 0) -> np.ndarray:
    """Return real inputs in −1 … 1, float32."""
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (count, *shape)).astype(np.float32)
