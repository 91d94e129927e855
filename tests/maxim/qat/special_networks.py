"""Networks for the digits with what few networks have: averages, bits, long kernels."""

from __future__ import annotations

from torch import Tensor, nn

from nibblefit_maxim.library import BitwiseOr


def averaging() -> nn.Module:
    """Return a network with 2-D average pools."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


class Bits(nn.Module):
    """Two branches whose rectified bits are combined, behind a 5×5 kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 5, padding=2)
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.either = BitwiseOr()
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores."""
        x = self.relu(self.stem(x))
        x = self.either(self.relu(self.left(x)), self.relu(self.right(x)))
        return self.head(self.pool(x).flatten(1))


def bits() -> nn.Module:
    """Return the network with a bitwise layer and a long kernel."""
    return Bits()
