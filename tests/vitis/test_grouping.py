"""Groups: what shares a quantizer, what a concatenation rounds, what keeps a format."""

from __future__ import annotations

import torch
from tests.vitis.calibration.networks import branches
from torch import Tensor, nn

from nibblefit.nn.capture import capture
from nibblefit_vitis.grouping import carriers, groups, parameters
from nibblefit_vitis.settings import Kind


class Forked(nn.Module):
    """A tensor with several readers: a rectifier, a rearrangement and a leaky rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all branches."""
        y = self.conv(x)
        leaky = torch.nn.functional.leaky_relu(y, 0.1)
        return torch.relu(y).flatten(1), y.flatten(1).argmax(1), leaky


def test_rectifiers_join_and_concatenations_round() -> None:
    """A group ends behind its rectifier; branches of a concatenation have no format."""
    found = {group.head.name: group for group in groups(branches())}
    assert [node.name for node in found["stem"].members] == ["stem", "relu"]
    assert found["stem"].end == "relu"
    assert not found["left"].quantized
    assert not found["right"].quantized
    assert found["mean"].tensors == ("mean", "flatten")


def test_every_tensor_knows_who_has_its_format() -> None:
    """Rearranged tensors and branches of a concatenation have their carrier's format."""
    found = carriers(branches())
    assert found["flatten"] == "mean"
    assert found["left"] == found["right"] == "concat"
    assert found["x"] == "x"


def test_readers_of_a_forked_tensor_keep_its_format_where_that_is_exact() -> None:
    """A rectifier and a flattening keep it, a leaky one starts a group, an index has none."""
    graph = capture(Forked().eval(), (2, 3, 3))
    found = {group.head.op.value: group for group in groups(graph)}
    assert found["conv"].quantized
    assert not found["relu"].quantized
    assert not found["argmax"].quantized
    assert found["leaky_relu"].quantized
    owners = carriers(graph)
    assert owners[found["relu"].members[-1].output] == "conv"
    assert owners["leaky_relu"] == "leaky_relu"
    assert found["argmax"].end not in owners


def test_parameters_know_kind_and_channel_axis() -> None:
    """Weights and biases in order, each once."""
    found = {parameter.name: parameter for parameter in parameters(branches())}
    assert (found["deep.weight"].kind, found["deep.weight"].axis) == (Kind.WEIGHTS, 0)
    assert found["head.bias"].kind is Kind.BIAS
    assert len(found) == 10
