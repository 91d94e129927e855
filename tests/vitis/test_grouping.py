"""Groups: what shares a quantizer, what a concatenation rounds, what keeps a format."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.vitis.calibration.networks import branches
from torch import Tensor, nn

from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.reference import run
from nibblefit.nn.capture import capture
from nibblefit_vitis.grouping import carriers, groups, parameters
from nibblefit_vitis.quantize.pipeline import quantize_network
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation import fake_quantized


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


class Leaky(nn.Module):
    """Leaky rectifiers behind a sum of products, a pool and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one tensor."""
        leaky = torch.nn.functional.leaky_relu
        left = leaky(self.left(x), 0.1)
        right = leaky(torch.nn.functional.avg_pool2d(self.right(x), 3, 1, 1), 0.1)
        return leaky(torch.cat([left, right], 1), 0.1)


def test_a_leaky_rectifier_joins_sums_only() -> None:
    """Behind a pool or a concatenation, codes arrive: there it has a format of its own."""
    found = {tuple(node.op.value for node in group.members) for group in groups(leaky_network())}
    assert found == {("conv", "leaky_relu"), ("conv",), ("avg_pool",), ("leaky_relu",),
                     ("concat",)}  # fmt: skip


def leaky_network() -> Graph:
    """Return the network with seeded weights."""
    torch.manual_seed(4)
    return capture(Leaky().eval(), (2, 8, 8))


@pytest.mark.parametrize("parity", [False, True])
def test_integers_of_leaky_rectifiers_equal_the_simulation(parity: bool) -> None:
    """Wherever one stands: no code differs, although two slopes and a rounding do not commute."""
    samples = np.random.default_rng(2).normal(0, 1, (16, 2, 8, 8)).astype(np.float32)
    setting = NetworkSetting(parity=parity)
    found = quantize_network(leaky_network(), setting, lambda: [samples])
    (name,), (end,) = found.graph.inputs, found.graph.outputs
    rounding = Rounding(found.graph.metadata["input_rounding"])
    given = quantize(samples.astype(np.float64), found.graph.tensors[name].format, rounding)
    codes = run(found.graph, {name: given}).outputs[end]
    simulated = fake_quantized(found.prepared, found.formats, setting, dtype=torch.float64)
    (real,) = simulated(samples.astype(np.float64))
    np.testing.assert_array_equal(dequantize(codes, found.graph.tensors[end].format), real.numpy())
