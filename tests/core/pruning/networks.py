"""Networks whose channels meet in the ways that are hard to prune."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class AddDepthwise(nn.Module):
    """A sum feeds a depthwise convolution with multiplier 2."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 16, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.deep = nn.Conv2d(16, 32, 3, groups=16)
        self.head = nn.Conv2d(32, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum's way through."""
        return self.head(F.relu(self.deep(F.relu(self.norm(self.left(x) + self.right(x))))))


class ConcatAdd(nn.Module):
    """A concatenation meets a wide layer in a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 16, 3, padding=1)
        self.wide, self.head = nn.Conv2d(3, 24, 1), nn.Conv2d(24, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined channels' way through."""
        return self.head(torch.cat((self.a(x), self.b(x)), 1) + self.wide(x))


class Grouped(nn.Module):
    """A convolution in four groups between others, and a channel shuffle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.grouped = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3, groups=4)
        self.head = nn.Conv2d(32, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the groups' way through."""
        y = F.relu(self.grouped(F.relu(self.stem(x))))
        n, c, h, w = y.shape
        y = y.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(y)


class Split(nn.Module):
    """Half of the channels goes around (cross-stage partial), the rest is sliced by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 24, 3), nn.Conv2d(12, 12, 3, padding=1)
        self.head = nn.Conv2d(24, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return both halves, joined again."""
        whole = F.relu(self.stem(x))
        left, right = whole.chunk(2, 1)
        return self.head(torch.cat((self.inner(left), right + whole[:, 3:15]), 1))


class Shared(nn.Module):
    """One convolution used three times, its outputs added."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return what three uses make."""
        y = F.relu(self.stem(x))
        once = F.relu(self.again(y))
        return self.head(self.again(once) + once + self.again(y))


class Shuffled(nn.Module):
    """Pixel shuffle, a transposed convolution, and a gate for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up = nn.Conv2d(3, 32, 3), nn.ConvTranspose2d(8, 12, 2, stride=2)
        self.squeeze, self.excite = nn.Linear(12, 4), nn.Linear(4, 12)
        self.head = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the enlarged image."""
        y = F.relu(self.up(F.pixel_shuffle(F.relu(self.stem(x)), 2)))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3))))))
        return self.head(y * gate[:, :, None, None])


class HardView(nn.Module):
    """A view of a size that the code names, before linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16)
        self.first, self.second = nn.Linear(16 * 5 * 5, 20), nn.Linear(20, 4)
        self.slope = nn.PReLU(16)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        y = F.max_pool2d(self.slope(self.norm(self.stem(x))), 2)
        return self.second(F.relu(self.first(y.view(-1, 400))))


class OutputSum(nn.Module):
    """The output is a sum behind an activation: the layers below must stay whole."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.left, self.right = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return eight channels."""
        y = F.relu(self.stem(x))
        return F.relu(self.left(y) + self.right(y))


class Attention(nn.Module):
    """Softmax over channels, a matrix product of two tensors, a spatial gate, strided channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.keys = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.gate, self.odd = nn.Conv2d(8, 1, 1), nn.Conv2d(8, 6, 1)
        self.head = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return attended images; only the convolution before the head can shrink."""
        y = self.stem(x)
        mixed = torch.matmul(torch.softmax(self.keys(y), 1), y)
        gated = mixed * torch.sigmoid(self.gate(y))
        return self.head(F.relu(self.odd(gated + torch.cat((y[:, ::2], y[:, 1::2]), 1))))


class Tokens(nn.Module):
    """Linear layers over tokens, channels on the last axis and moved to the first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.expand, self.project = nn.Linear(8, 16), nn.Linear(16, 8)
        self.mix, self.head = nn.Linear(9, 9), nn.Linear(8 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        y = self.stem(x).flatten(2).transpose(1, 2)
        y = y + self.project(F.relu(self.expand(y)))
        y = self.mix(y.transpose(1, 2))
        return self.head(y.flatten(1))


class Heights(nn.Module):
    """Tensors joined and taken apart along their height; single channels spread over many."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.one, self.head = nn.Conv2d(8, 1, 1), nn.Conv2d(8, 4, 1)
        self.scale = nn.Parameter(torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the lower part."""
        y = torch.cat((self.a(x), self.b(x)), 2) * self.scale
        upper, lower = y.split([10, 10], 2)
        return self.head(F.pad(upper + self.one(lower), (1, 1))[:, :, 2:])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        AddDepthwise,
        ConcatAdd,
        Grouped,
        Split,
        Shared,
        Shuffled,
        HardView,
        OutputSum,
        Attention,
        Tokens,
        Heights,
    )
}
