"""Small networks in the shapes that users bring: the usual backbones, necks and heads."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

SHAPE = (3, 32, 32)


def unit(into: int, out: int, kernel: int = 3, *, stride: int = 1, groups: int = 1,
         act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:  # fmt: skip
    """Return convolution, batch norm and activation."""
    conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), act())


class MobileNet(nn.Module):
    """Inverted residuals, ReLU6, dropout before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 16, stride=2, act=nn.ReLU6)
        self.blocks = nn.ModuleList(
            nn.Sequential(unit(16, 64, 1, act=nn.ReLU6), unit(64, 64, groups=64, act=nn.ReLU6),
                          nn.Conv2d(64, 16, 1, bias=False), nn.BatchNorm2d(16))
            for _ in range(2)
        )  # fmt: skip
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        y = self.stem(x)
        for block in self.blocks:
            y = y + block(y)
        y = F.adaptive_avg_pool2d(y, 1).reshape(y.shape[0], -1)
        return self.head(self.drop(y))


class UNet(nn.Module):
    """Skips joined by concatenation, transposed convolution and up-sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep, self.mid = unit(3, 16), unit(16, 32), unit(32, 64)
        self.up, self.join = nn.ConvTranspose2d(64, 32, 2, 2), unit(64, 32)
        self.last, self.out = unit(48, 16), nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return masks."""
        a = self.down(x)
        b = self.deep(F.max_pool2d(a, 2))
        y = self.join(torch.cat([self.up(self.mid(F.max_pool2d(b, 2))), b], 1))
        return torch.sigmoid(
            self.out(self.last(torch.cat([F.interpolate(y, size=a.shape[2:]), a], 1)))
        )


class DenseNet(nn.Module):
    """Batch norm before convolutions, everything joined to what was before."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(16 + 12 * i), nn.ReLU(), nn.Conv2d(16 + 12 * i, 12, 3, padding=1)
            )
            for i in range(3)
        )
        self.norm, self.head = nn.BatchNorm2d(52), nn.Linear(52, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        y = self.stem(x)
        for layer in self.layers:
            y = torch.cat([y, layer(y)], 1)
        return self.head(F.relu(self.norm(y)).mean([2, 3]))


class ShuffleNet(nn.Module):
    """Half of the channels goes around; channels are shuffled by reshaping and transposing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last, self.head = unit(3, 48), unit(48, 32, 1), nn.Linear(32, 10)
        self.branches = nn.ModuleList(
            nn.Sequential(
                unit(24, 24, 1), unit(24, 24, groups=24, act=nn.Identity), unit(24, 24, 1)
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        y = self.stem(x)
        for branch in self.branches:
            around, through = y.chunk(2, dim=1)
            y = torch.cat((around, branch(through)), 1)
            n, c, h, w = y.shape
            y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
        return self.head(self.last(y).mean([2, 3]))


class Excited(nn.Module):
    """Squeeze and excitation by convolutions and by linear layers, in a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = unit(3, 32, act=nn.Hardswish), unit(32, 32)
        self.down, self.up = nn.Conv2d(32, 16, 1), nn.Conv2d(16, 32, 1)
        self.gate = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 32), nn.Sigmoid())
        self.head = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        y = self.first(x)
        y = y * F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(y, 1)))))
        z = self.second(y)
        b, c, _, _ = z.size()
        gate = self.gate(F.adaptive_avg_pool2d(z, 1).view(b, c)).view(b, c, 1, 1)
        return self.head((y + z * gate.expand_as(z)).mean((2, 3)))


class Inception(nn.Module):
    """Four branches, and a second output from the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.five = unit(3, 32), unit(32, 16, 1), unit(16, 24, 5)
        self.three, self.pooled = unit(32, 24), unit(32, 16, 1)
        self.head, self.aux = nn.Linear(80, 10), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return class scores of the end and of the middle."""
        y = self.stem(x)
        one = self.one(y)
        pooled = self.pooled(F.max_pool2d(y, 3, 1, 1))
        z = torch.cat([one, self.five(one), self.three(y), pooled], 1)
        return self.head(F.adaptive_avg_pool2d(z, (1, 1)).flatten(1)), self.aux(y.mean((2, 3)))


class Detector(nn.Module):
    """Chunks that pass each other, a pyramid of poolings, two scales with one shared head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cross = unit(3, 32, stride=2, act=nn.SiLU), unit(32, 32, 1, act=nn.SiLU)
        self.inner, self.close = unit(16, 16, act=nn.SiLU), unit(48, 32, 1, act=nn.SiLU)
        self.down, self.pyramid = unit(32, 32, stride=2, act=nn.SiLU), unit(96, 32, 1, act=nn.SiLU)
        self.boxes, self.classes = nn.Conv2d(32, 16, 1), nn.Conv2d(32, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes and class scores of all places."""
        parts = list(self.cross(self.stem(x)).chunk(2, 1))
        parts.append(parts[-1] + self.inner(parts[-1]))
        fine = self.close(torch.cat(parts, 1))
        pools = [self.down(fine)]
        for _ in range(2):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        coarse = self.pyramid(torch.cat(pools, 1))
        found = [torch.cat((self.boxes(y), self.classes(y)), 1).flatten(2) for y in (fine, coarse)]
        boxes, classes = torch.cat(found, 2).split((16, 3), 1)
        return boxes, classes.sigmoid()


class Dense(nn.Module):
    """Linear layers with batch norm, dropout and a parametric rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3072, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(),
            nn.Linear(64, 48), nn.BatchNorm1d(48), nn.PReLU(48), nn.Linear(48, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        return self.layers(x)


class Sequence(nn.Module):
    """Convolutions over time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(3, 32, 5, padding=2), nn.BatchNorm1d(32), nn.ReLU(), nn.MaxPool1d(2),
            nn.Conv1d(32, 48, 3, padding=2, dilation=2), nn.PReLU(48), nn.AdaptiveAvgPool1d(1),
            nn.Flatten(), nn.Linear(48, 5),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores of the rows of an image as one series."""
        return self.layers(x.flatten(2))


class Heads(nn.Module):
    """A head of convolution and pooling, an inner tensor as output, two outputs of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.after = unit(3, 32), unit(32, 32), unit(32, 32)
        self.head = nn.Conv2d(32, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return an inner tensor, scores, their softmax, and places in rows of four."""
        inner = self.inner(self.stem(x))
        y = F.relu(self.head(self.after(inner)))
        rows = y.permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4)
        return inner, F.adaptive_avg_pool2d(y, 1).flatten(1), torch.softmax(y, 1), rows


EVERYDAY: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (MobileNet, UNet, DenseNet, ShuffleNet, Excited, Inception, Detector, Dense,
                 Sequence, Heads)
}  # fmt: skip


def everyday(name: str) -> nn.Module:
    """Return a network with seeded weights and statistics that are not those of a fresh one."""
    torch.manual_seed(0)
    network = EVERYDAY[name]().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values, low, high in ((module.weight.data, 0.5, 2.0), (module.bias.data, -1.0, 1.0),
                                      (module.running_mean, -1.0, 1.0),
                                      (module.running_var, 0.5, 2.0)):  # fmt: skip
                assert values is not None
                values.uniform_(low, high)
    return network
