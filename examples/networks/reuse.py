"""One module used several times: the weights exist once, in the graph and in training."""

from __future__ import annotations

from torch import Tensor, nn

INPUT_SHAPE = (1, 16, 16)


class Recycling(nn.Module):
    """A block applied over and over, and one head for two feature maps."""

    def __init__(self, classes: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.step = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.head = nn.Conv2d(8, classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores at full and at half resolution."""
        x = self.stem(x)
        for _ in range(self.rounds):
            x = x + self.step(x)
        return self.head(x), self.head(self.pool(x))


def build(classes: int = 4, rounds: int = 3) -> nn.Module:
    """Return the network."""
    return Recycling(classes, rounds)
