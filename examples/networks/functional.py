"""The functional style: layers hold weights, everything else is written out in forward."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

INPUT_SHAPE = (3, 32, 32)


class FunctionalNet(nn.Module):
    """Channel split and shuffle, squeeze-and-excite gate, arithmetic on sizes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.gain = nn.Parameter(torch.full((3, 1, 1), 4.0))
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.squeeze = nn.Conv2d(16, 4, 1)
        self.excite = nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16 * 4 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = (x - self.mean) * self.gain
        x = F.max_pool2d(F.relu6(self.stem(x)), 2)
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, F.hardswish(self.depthwise(right))], dim=1)
        batch, channels, height, width = x.size()
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        x = x.view(batch, channels, height, width)
        gate = F.adaptive_avg_pool2d(x, 1)
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(gate))))
        x = F.avg_pool2d(x * gate.expand_as(x), 4)
        return self.head(x.reshape(batch, -1))


def build(classes: int = 10) -> nn.Module:
    """Return the network."""
    return FunctionalNet(classes)
