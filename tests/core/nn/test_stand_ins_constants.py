"""Captures of networks with convolutions that do not, or not only, read the input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own abbreviation

from nibblefit.errors import UnsupportedError
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network

SHAPE = (3, 6, 6)


class TwoConvolutions(nn.Module):
    """A convolution of the input, another for something else, and buffers."""

    def __init__(self, count: int = 1) -> None:
        super().__init__()
        self.own, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("place", torch.rand(count, *SHAPE))
        self.kept: Tensor | None = None
        self.calls = 0

    @property
    def buffer(self) -> Tensor:
        """The buffer."""
        return self.get_buffer("place")


class Summed(TwoConvolutions):
    """Reduces the batch axis of a convolved buffer."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input's convolution and a convolved constant."""
        y: Tensor = self.own(x) + self.other(self.buffer).mean(0, keepdim=True)
        return y


class Ones(TwoConvolutions):
    """Convolves a mask of the input's size, as partial convolutions do."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input's convolution, weighted by how much of a window is inside."""
        y: Tensor = self.own(x) * self.other(torch.ones_like(x))
        return y


class Expanded(TwoConvolutions):
    """Gives a positional encoding the input's batch size first."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both convolutions."""
        y: Tensor = self.own(x) + self.other(self.buffer.expand(len(x), -1, -1, -1))
        return y


class FirstOfOnes(TwoConvolutions):
    """Takes one sample of what does not depend on the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the product of both convolutions."""
        mask: Tensor = self.other(torch.ones_like(x))
        return torch.conv2d(x, self.own.weight, padding=1) * mask[:1]


class Unbatched(TwoConvolutions):
    """Convolves a constant without a batch axis."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the product of both convolutions."""
        y: Tensor = self.own(x) * self.other(self.buffer[0])
        return y


class Kept(TwoConvolutions):
    """Convolves a constant when it is called first, and keeps the result."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input's convolution and a kept constant."""
        if self.kept is None:
            self.kept = self.other(self.buffer)
        y: Tensor = self.own(x) + self.kept[:1]
        return y


class KeptBesideWords(TwoConvolutions):
    """The same in a network whose proof needs real convolutions."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input's convolution and a kept constant."""
        if self.kept is None:
            self.kept = self.other(self.buffer)
        return F.conv2d(x, self.own.weight, padding="same") + self.kept[:1]


class Transposed(TwoConvolutions):
    """Mixes convolutions with a transposed one, which nothing stands in for."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a convolution, up and down again."""
        y = F.relu(self.own(x))
        return F.conv_transpose2d(y, self.own.weight, padding=1) + x


class InPlace(TwoConvolutions):
    """Changes results of convolutions in place."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a rectified sum."""
        y = self.own(x)
        y += self.other(x)
        return F.relu_(y)


class SinglePrecision(TwoConvolutions):
    """Makes a buffer of float32 while it runs."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input's convolution and a constant that passed another one."""
        row = torch.arange(6, dtype=torch.float32).to(x.dtype).expand(1, 3, 6, 6)
        y: Tensor = self.own(x) + self.other(row)
        return y


@pytest.mark.parametrize(
    "kind",
    [Summed, Ones, Expanded, FirstOfOnes, Unbatched, Kept, KeptBesideWords, Transposed, InPlace,
     SinglePrecision],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_graph_computes_what_the_network_does(kind: type[TwoConvolutions], count: int) -> None:
    """Convolved constants of any batch size keep their values, and so does all else."""
    torch.manual_seed(0)
    module = kind(1 if kind is Expanded else count).eval()
    x = torch.rand(2, *SHAPE)
    with torch.no_grad():
        ours = Network(capture(module, SHAPE)).eval()(x)[0]
        theirs = module(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


class HalfABatch(TwoConvolutions):
    """Convolves some of the samples only."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input with one sample convolved."""
        return torch.cat([self.own(x[:1]), self.other(x[1:])])


class Dynamic(TwoConvolutions):
    """Computes weights from the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a convolution whose filters depend on the first sample."""
        return F.conv2d(x, self.own.weight * x.mean(dim=(2, 3))[0, 0])


class DynamicOfConstant(TwoConvolutions):
    """Convolves a constant of the input's size with weights computed from the input."""

    def forward(self, x: Tensor) -> Tensor:
        """Return filters that answer to a constant."""
        return F.conv2d(torch.ones_like(x), x[:, :, :3, :3])


class Alternating(TwoConvolutions):
    """Negates its weights in every other call."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a convolution of changing sign."""
        self.calls += 1
        return F.conv2d(x, self.own.weight * (-1.0) ** self.calls)


class FirstCall(TwoConvolutions):
    """Is another network when called first."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a convolution, twice as large at first."""
        self.calls += 1
        y: Tensor = self.own(x)
        return 2 * y if self.calls == 1 else y


@pytest.mark.parametrize(
    "kind", [HalfABatch, Dynamic, DynamicOfConstant, Alternating, FirstCall]
)  # fmt: skip
def test_what_no_graph_can_be_is_refused(kind: type[TwoConvolutions]) -> None:
    """Neither stand-ins nor a second run let through what the real convolutions would not."""
    torch.manual_seed(0)
    with pytest.raises(UnsupportedError):
        capture(kind().eval(), SHAPE)
