"""Speed of a quantized training step beside the same network's plain torch step, in one run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.models import Model
from nibblefit.nn.capture import capture
from nibblefit_maxim.folding import fold_model
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.settings import layer_settings

#: Timed steps of each kind; they take turns, so that both see the same load of the machine.
STEPS = 20


@dataclass(frozen=True)
class Row:
    """One network: milliseconds of a step (forward, backward, SGD), best of `STEPS`.

    `ratio` is the median over the steps of QAT time by plain time, each measured right after the
    other.
    """

    network: str
    batch: int
    quantile: float
    plain_ms: float
    qat_ms: float
    ratio: float


class SimpleNet(nn.Module):
    """The shape of the vendor's SimpleNet for CIFAR-100, with or without its residual sums."""

    def __init__(self, *, residual: bool) -> None:
        super().__init__()
        widths = [3, 16, 20, 20, 20, 20, 20, 44, 48, 48, 96]
        self.convs = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths)])
        self.tail = nn.ModuleList([nn.Conv2d(96, 512, 1), nn.Conv2d(512, 128, 1),
                                   nn.Conv2d(128, 128, 3, padding=1)])  # fmt: skip
        self.head = nn.Conv2d(128, 100, 1)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        for position, conv in enumerate(self.convs):
            if position in (4, 6, 7, 9):
                x = functional.max_pool2d(x, 2)
            y = torch.relu(conv(x))
            x = x + y if self.residual and position in (2, 5) else y
        for conv in self.tail:
            x = torch.relu(conv(x))
        scores: Tensor = self.head(functional.max_pool2d(x, 2))
        return scores.flatten(1)


def net5() -> nn.Module:
    """Return the shape of the vendor's network for MNIST."""
    return nn.Sequential(
        nn.Conv2d(1, 60, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(60, 60, 3, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(60, 56, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(56, 12, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 10),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "MNIST net5": (net5, (1, 28, 28), 64),
    "SimpleNet": (lambda: SimpleNet(residual=False), (3, 32, 32), 32),
    "residual SimpleNet": (lambda: SimpleNet(residual=True), (3, 32, 32), 32),
}


def quantizing(module: nn.Module, shape: tuple[int, ...], quantile: float) -> QatNetwork:
    """Return a plain module as the network of its quantized training."""
    graph = fold_model(Model(capture(module.eval(), shape))).graph
    fused = fuse(graph, MAX78000).require("MAX78000")
    settings = layer_settings(fused, MaximOptions(shift_quantile=quantile), {})
    return QatNetwork(graph, fused, settings, {})


def _stepper(network: nn.Module, x: Tensor, y: Tensor) -> Callable[[], float]:
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)

    def step() -> float:
        start = time.perf_counter()
        scores = network(x)
        scores = scores[0] if isinstance(scores, tuple) else scores
        optimizer.zero_grad()
        loss: Any = functional.cross_entropy(scores, y)
        loss.backward()
        optimizer.step()
        return (time.perf_counter() - start) * 1e3

    return step


def measure(name: str, quantile: float = 1.0, steps: int = STEPS) -> Row:
    """Return the row of one network."""
    build, shape, batch = NETWORKS[name]
    torch.manual_seed(0)
    module = build()
    network = quantizing(module, shape, quantile)
    x = torch.rand(batch, *shape) * 2 - 1
    y = torch.randint(0, 10, (batch,))
    plain, qat = _stepper(module, x, y), _stepper(network, x, y)
    for _ in range(3):
        plain(), qat()
    pairs = np.array([(plain(), qat()) for _ in range(steps)])
    best = pairs.min(axis=0)
    ratio = float(np.median(pairs[:, 1] / pairs[:, 0]))
    return Row(name, batch, quantile, float(best[0]), float(best[1]), ratio)


def qat_step_ratio() -> list[Row]:
    """Return a row per network, with all weights held and with the vendor's usual quantile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [measure(name, quantile) for name in NETWORKS for quantile in (1.0, 0.985)]
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    for row in qat_step_ratio():
        sys.stdout.write(
            f"{row.network:20} batch {row.batch} quantile {row.quantile}: plain {row.plain_ms:.1f} "
            f"ms, QAT {row.qat_ms:.1f} ms, best by best {row.qat_ms / row.plain_ms:.2f}, "
            f"median ratio {row.ratio:.2f}\n"
        )
