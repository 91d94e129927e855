"""The layer summary: every layer once, trained parameters once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nibblefit.defaults.summary import summary_table
from nibblefit.nn.capture import capture


class Shared(nn.Module):
    """One linear layer used twice, after batch norm, and a fixed factor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.linear = nn.Linear(6, 6)
        self.register_buffer("factor", torch.full((6,), 2.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the second pass through the layer."""
        factor: Tensor = self.factor
        return self.linear(self.linear(self.norm(x)) * factor)


def test_shared_and_fixed_constants() -> None:
    """A shared weight counts once; statistics and buffers do not count."""
    table = summary_table(capture(Shared().eval(), (6,)))
    assert table.columns == ("layer", "type", "output shape", "parameters")
    rows = [row[1:] for row in table.rows]
    assert rows[0] == ("batch_norm", "6", 12)
    assert [row[2] for row in rows if row[0] == "linear"] == [42, 0]
    assert sum(row[2] for row in rows[:-1]) == 54
    assert table.rows[-1] == ("total", "", "", 54)
