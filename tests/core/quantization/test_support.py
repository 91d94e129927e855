"""What a target can run is decided before anything is trained, with reason and remedy."""

from __future__ import annotations

import pytest
from tests.core.quantization.networks import Net

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.ir.macs import graph_macs
from nibblefit.ir.numerics import Fusion, Numerics
from nibblefit.ir.ops import Op
from nibblefit.quantization.support import Verdict, refuse_unsupported, support

NUMERICS = Numerics(
    fusions=(Fusion("conv + relu", (Op.CONV, Op.RELU)),),
    operators=frozenset({Op.CONV, Op.RELU, Op.LINEAR, Op.FLATTEN}),
    host_operators=frozenset({Op.SOFTMAX}),
)


def _network() -> Graph:
    net = Net((3, 4, 4))
    y = net.add(Op.RELU, [net.norm(net.conv(net.x, 4, "c"), "bn")], "r")
    y = net.norm(net.add(Op.SIGMOID, [y], "s"), "late")
    y = net.add(Op.DROPOUT, [net.add(Op.FLATTEN, [y], "f", start_axis=1)], "d", p=0.5)
    y = net.add(Op.LINEAR, [y, net.constant("w", 2, 64)], "fc")
    return net.builder.finish([net.add(Op.SOFTMAX, [y], "sm", axis=1)])


def test_every_node_gets_a_verdict() -> None:
    """Fused, folded, removed, hosted and refused nodes are told apart."""
    found = {item.node.name: item for item in support(_network(), NUMERICS)}
    verdicts = {name: item.verdict for name, item in found.items()}
    assert verdicts == {
        "c": Verdict.RUNS, "bn": Verdict.FOLDED, "r": Verdict.RUNS, "s": Verdict.REFUSED,
        "late": Verdict.REFUSED, "f": Verdict.RUNS, "d": Verdict.FOLDED, "fc": Verdict.RUNS,
        "sm": Verdict.HOST,
    }  # fmt: skip
    assert found["r"].runs_as == "c (conv + relu)"
    assert found["bn"].runs_as == "folded into the layer before"


def test_all_problems_are_refused_together() -> None:
    """One error names every layer, the reason and the nearest thing that works."""
    with pytest.raises(UnsupportedError) as caught:
        refuse_unsupported(_network(), NUMERICS, "chip")
    text = str(caught.value)
    assert "'chip' cannot run 2 layers" in text
    assert "layer 's' (sigmoid): the target has no sigmoid" in text
    assert "layer 'late' (batch_norm): it follows no layer" in text
    assert "right behind a convolution" in text


def test_weights_computed_by_another_layer_are_refused() -> None:
    """A linear layer with a computed weight is no layer with constants."""
    net = Net((4,))
    numerics = Numerics(operators=frozenset({Op.PRELU, Op.LINEAR, Op.RELU}))
    slope = net.add(Op.RELU, [net.x], "slope")
    model = net.builder.finish([net.add(Op.PRELU, [net.x, slope], "p")])
    (_, found) = support(model, numerics)
    assert found.verdict is Verdict.REFUSED
    assert "computed by another layer" in found.reason


def test_multiply_accumulates_are_counted() -> None:
    """Convolution: outputs × kernel × inputs; linear: outputs × inputs."""
    macs = graph_macs(_network())
    assert macs["c"] == 4 * 16 * 27
    assert macs["fc"] == 128
    assert macs["r"] == 0
