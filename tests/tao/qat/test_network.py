"""The network of quantized training: ranges, places, and the integers it ends in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.core.quantization.networks import Net, everything, inputs, sequences
from tests.core.targets.test_generic import _without_up

from nibblefit.engine import Engine
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.network import Network
from nibblefit.quantization.build import quantize_graph
from nibblefit.quantization.qdq.topology import representable
from nibblefit.quantization.settings import settings
from nibblefit.quantization.twin import Twin
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.qat.deployed import stated_formats
from nibblefit_tao.qat.network import UNSEEN, QatNetwork
from nibblefit_tao.qat.places import places
from nibblefit_tao.qat.rectifiers import with_relu6

DATA = inputs(8, (3, 8, 8))
NETWORKS = [everything, sequences, _without_up]


def trained(graph: Graph, *, per_channel: bool = True, steps: int = 4) -> QatNetwork:
    """Return a network after some steps of quantized training."""
    network = QatNetwork(graph, numerics_of(per_channel=per_channel)).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    for _ in range(steps):
        outputs = [x for x in network(torch.from_numpy(DATA)) if x.is_floating_point()]
        loss = torch.stack([x.square().mean() for x in outputs]).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()


def integers(network: QatNetwork, *, per_channel: bool = True) -> QuantizedGraph:
    """Return the integer graph with the ranges of training."""
    scales = {name: most / 127 for name, most in network.ranges().items()}
    return quantize_graph(representable(network.to_graph()), numerics_of(per_channel=per_channel),
                          {}, settings(), stated=stated_formats(scales))  # fmt: skip


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("made", NETWORKS)
def test_training_ends_in_the_integers(made: Callable[[], Graph], per_channel: bool) -> None:
    """Judge, engine, twin and the evaluated network agree on every integer of every tensor."""
    network = trained(made(), per_channel=per_channel)
    graph = integers(network, per_channel=per_channel)
    codes = {"x": quantize(DATA, graph.tensors["x"].format, Rounding.HALF_EVEN)}
    judged = reference.run(graph, codes).tensors
    run = Engine(graph).run(codes, keep="all").tensors
    twin = Twin(graph).codes(torch.from_numpy(codes["x"]))
    real = network.deployed(torch.float64).eval().forward_all(torch.from_numpy(DATA).double())
    for name, wanted in judged.items():
        np.testing.assert_array_equal(run[name], wanted)
        np.testing.assert_array_equal(twin[name].numpy(), wanted)
        found = real[name].detach().numpy() / graph.tensors[name].format.scale.values()[0]
        np.testing.assert_array_equal(np.rint(found), wanted, err_msg=name)


@pytest.mark.parametrize("made", NETWORKS)
def test_evaluation_is_the_deployed_network(made: Callable[[], Graph]) -> None:
    """Outputs in evaluation are whole steps, and follow the weights when these change."""
    network = trained(made())
    x = torch.from_numpy(DATA)
    with torch.no_grad():
        first = network(x)
        for ours, wanted in zip(first, network.deployed().eval()(x), strict=True):
            assert torch.equal(ours, wanted)
        for parameter in network.parameters():
            parameter.mul_(0.5)
        changed = network(x)
    assert any(not torch.equal(a, b) for a, b in zip(first, changed, strict=True))
    for ours, wanted in zip(changed, network.deployed().eval()(x), strict=True):
        assert torch.equal(ours, wanted)


def test_ranges_are_debiased_means_of_the_largest_magnitudes() -> None:
    """By the definition, over three batches; unseen tensors have TAO's first value."""
    net = Net((3, 8, 8))
    graph = net.builder.finish([net.conv(net.x, 4, "c")])
    network = QatNetwork(graph, numerics_of(), decay=0.9).train()
    assert network.ranges() == {"x": UNSEEN, "c": UNSEEN}
    biased, most = 0.0, [3.0, 7.0, 2.0]
    for value in most:
        network(torch.full((1, 3, 8, 8), -value))
        biased = 0.9 * biased + 0.1 * value
    assert network.ranges()["x"] == pytest.approx(biased / (1 - 0.9**3), rel=1e-5)
    again = QatNetwork(graph, numerics_of(), {"x": 5.0})
    assert again.ranges() == {"x": 5.0, "c": UNSEEN}
    before = network.ranges()
    network.eval()(torch.full((1, 3, 8, 8), 100.0))
    assert network.ranges() == before


def test_a_tensor_that_is_always_zero_has_the_scale_one() -> None:
    """It needs no range; the layers behind it still have legal factors."""
    net = Net((3, 8, 8))
    dead = net.add(Op.CLIP, [net.conv(net.x, 4, "c")], "dead", lo=0.0, hi=0.0)
    network = trained(net.builder.finish([net.conv(dead, 2, "end")]))
    assert network.ranges()["dead"] == 0.0
    assert integers(network).tensors["dead"].format.scale.values()[0] == 1.0
    assert torch.isfinite(network(torch.from_numpy(DATA))[0]).all()


def test_one_quantizer_stands_behind_convolution_norm_and_rectifier() -> None:
    """None between them, none behind what moves codes, none rounding an output nobody reads."""
    found = places(_without_up(), numerics_of())
    assert set(found.followed) == {"x", "r1", "bn2", "r2", "bn3", "lr", "cat", "r6", "gap", "fc"}
    assert {name: norm.name for name, norm in found.norms.items()} == {"c1": "bn1", "c2": "bn2"}
    assert found.open_ended == {"fc"}
    assert not {"c1", "bn1", "add", "mp", "fl"} & set(found.carriers)
    soft = places(everything(), numerics_of())
    assert soft.carriers["sm"] is None
    assert soft.carriers["up"] == "cat"


def test_training_rounds_weights_as_batch_norm_will_scale_them() -> None:
    """With many batches of one value the normalized layer is the folded one, to float32."""
    network = QatNetwork(_without_up(), numerics_of()).train()
    with torch.no_grad():
        tensors = network.forward_all(torch.from_numpy(DATA))
        plain = Network(_without_up()).train().forward_all(torch.from_numpy(DATA))
    for name in ("c1", "bn1", "fc"):
        error = (tensors[name] - plain[name]).abs().max()
        assert 0 < error < 0.1 * plain[name].abs().max()
    step = network.ranges()["r1"] / 127
    codes = tensors["r1"] / step
    assert torch.allclose(codes, codes.round(), atol=1e-3)


def test_relu6_is_only_for_parity() -> None:
    """ReLU, leaky and parametric ReLU become ReLU6; slopes vanish, other functions stay."""
    graph = with_relu6(everything())
    before = {node.name: node for node in everything().nodes}
    for node in graph.nodes:
        if before[node.name].op in {Op.RELU, Op.LEAKY_RELU, Op.PRELU}:
            assert node.op is Op.CLIP
            assert dict(node.attributes) == {"lo": 0.0, "hi": 6.0}
            assert len(node.inputs) == 1
        else:
            assert node == before[node.name]
    assert "pr.slope" not in graph.constants
    assert len(Network(graph).eval()(torch.from_numpy(DATA))) == 3
