"""Graphs built from declared numerics are legal, exact on every execution, and near the float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.core.quantization.networks import ARITHMETICS, Net, everything, inputs, sequences

from nibblefit.engine import Engine
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.fixed.formats import Accumulator, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.fixed.steps import Clamp, ShiftLeft, ShiftRight
from nibblefit.ir import reference
from nibblefit.ir.compare import require_equal
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.numerics import (
    Fusion,
    Numerics,
    RequantRule,
    Signedness,
    TensorRule,
)
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import Placement, QuantizedGraph
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.noise import signal_to_noise
from nibblefit.quantization.settings import settings
from nibblefit.quantization.twin import Twin

DATA = inputs(6, (3, 8, 8))
#: Least SQNR in dB that any tensor may have: a wrong shift, bias or zero point costs far more.
FLOORS = {"bias × 128, 4-bit weights, pools keep": 3.0}


def _codes(graph: QuantizedGraph, numerics: Numerics) -> dict[str, np.ndarray]:
    (name,) = graph.inputs
    return {name: quantize(DATA, graph.tensors[name].format, numerics.inputs.rounding)}


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("network", [everything, sequences])
def test_all_executions_agree_and_stay_near_the_float_network(
    network: Callable[[], Graph], name: str
) -> None:
    """Judge, engine and twin give equal integers, and every tensor keeps its signal."""
    numerics = ARITHMETICS[name]
    model = network()
    graph = quantize_network(model, numerics, [DATA], settings(), target="t")
    check_quantized(graph)
    codes = _codes(graph, numerics)
    judged = reference.run(graph, codes).tensors
    require_equal(judged, Engine(graph).run(codes, keep="all").tensors, graph)
    found = Twin(graph).codes(torch.from_numpy(codes["x"]))
    require_equal(judged, {key: value.numpy() for key, value in found.items()}, graph)
    noise = signal_to_noise(model, graph, [DATA], lambda _: judged)
    assert {item.tensor for item in noise} == set(judged)
    measured = [item for item in noise if item.tensor != "best"]  # an index has no nearness
    worst = min(measured, key=lambda item: item.decibels)
    assert worst.decibels > FLOORS.get(name, 18.0), worst


def test_the_twin_carries_gradients_through_every_operator() -> None:
    """Every part of the network passes a finite gradient back to the input."""
    graph = quantize_network(everything(), ARITHMETICS["shift"], [DATA], settings())
    x = torch.from_numpy(_codes(graph, ARITHMETICS["shift"])["x"]).double().requires_grad_()
    sum(out.sum() for name, out in Twin(graph)(x).items() if name in graph.outputs).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert float(x.grad.abs().mean()) > 0


def test_range_methods_and_widths_are_followed_per_layer() -> None:
    """A layer's own widths hold for its weights and its output alone."""
    numerics = Numerics(weights=TensorRule((8, 4)), activations=TensorRule((8, 6)))
    chosen = settings(layers={"c?": {"weight_bits": 4}, "c1": {"activation_bits": 6}})
    graph = quantize_network(_two_layers(), numerics, [DATA], chosen)
    widths = {n.name: graph.tensors[n.inputs[1]].format.bits for n in graph.nodes}
    assert widths == {"c1": 4, "c2": 4}
    assert graph.tensors["c1"].format.bits == 6
    assert graph.tensors["c2"].format.bits == 8


def _two_layers() -> Graph:
    net = Net((3, 8, 8))
    return net.builder.finish([net.conv(net.conv(net.x, 4, "c1"), 2, "c2")])


def test_settings_for_layers_that_do_not_exist_are_refused_together() -> None:
    """Every wrong name is listed with the nearest layer."""
    chosen = settings(layers={"c9": {}, "zz*": {"weight_bits": 8}})
    with pytest.raises(RecipeError, match=r"(?s)c9.*did you mean 'c.'.*zz"):
        quantize_network(_two_layers(), Numerics(), [DATA], chosen)


def test_unknown_keys_and_methods_are_refused_together() -> None:
    """Settings are checked before anything runs."""
    layers = {"a": {"wieght_bits": 8, "weight_bits": 99, "percentile": 0, "method": "x"}}
    with pytest.raises(RecipeError) as caught:
        settings(method="best", layers=layers)
    assert len(caught.value.problems) == 5


def test_a_width_the_target_lacks_is_refused() -> None:
    """The error names the layer and the widths that exist."""
    chosen = settings(layers={"c2": {"weight_bits": 3}})
    with pytest.raises(UnsupportedError, match=r"(?s)'c2'.*3 bits.*use one of 8"):
        quantize_network(_two_layers(), Numerics(), [DATA], chosen)


def test_fused_layers_have_one_requantization() -> None:
    """A rectifier in a fusion is the clamp of its layer, not a node."""
    net = Net((3, 8, 8))
    model = net.builder.finish([net.add(Op.RELU, [net.conv(net.x, 4, "c")], "r")])
    plain = quantize_network(model, Numerics(), [DATA], settings())
    fusion = Fusion("conv + relu", (Op.CONV, Op.RELU))
    rule = TensorRule(signedness=Signedness.BY_RANGE)
    fused = quantize_network(
        model, Numerics(fusions=(fusion,), activations=rule), [DATA], settings()
    )
    assert [node.op for node in plain.nodes] == [Op.CONV, Op.RELU]
    (node,) = fused.nodes
    assert node.outputs == ("r",)
    assert node.layer == "c"
    assert [type(step) for step in node.steps] == [ShiftRight, Clamp]
    assert fused.tensors["r"].format.signed is False


def test_a_fused_sum_reads_the_accumulator_of_its_convolution() -> None:
    """Between the parts of a layer nothing is rounded: the tensor between them is 32 bits wide."""
    fusion = Fusion("conv + add", (Op.CONV, Op.ADD))
    net = Net((3, 8, 8))
    y = net.conv(net.x, 4, "a")
    model = net.builder.finish([net.add(Op.ADD, [net.conv(y, 4, "b"), y], "sum")])
    graph = quantize_network(model, Numerics(fusions=(fusion,)), [DATA], settings())
    assert graph.tensors["b"].format.bits == 32
    assert graph.node("b").steps == ()
    assert {graph.node("b").layer, graph.node("sum").layer} == {"b"}


def test_shared_weights_are_stored_once() -> None:
    """Two layers with one weight constant and one input share its codes."""
    net = Net((3, 8, 8))
    weight = net.constant("w", 3, 3, 1, 1)
    one = net.add(Op.CONV, [net.x, weight], "one")
    two = net.add(Op.CONV, [net.x, weight], "two")
    graph = quantize_network(net.builder.finish([one, two]), Numerics(), [DATA], settings())
    assert list(graph.constants) == ["w"]


def test_host_operators_are_placed_on_the_host() -> None:
    """What only the host runs is marked so, and needs no accumulator."""
    net = Net((3, 8, 8))
    flat = net.add(Op.FLATTEN, [net.x], "f", start_axis=1)
    model = net.builder.finish([net.add(Op.SOFTMAX, [flat], "s", axis=1)])
    numerics = Numerics(operators=frozenset({Op.FLATTEN}), host_operators=frozenset({Op.SOFTMAX}))
    graph = quantize_network(model, numerics, [DATA], settings())
    assert graph.node("f").placement is Placement.ACCELERATOR
    assert graph.node("s").placement is Placement.HOST


def test_dead_channels_and_zero_inputs_stay_legal() -> None:
    """Channels without weights keep their bias; a network of zeros quantizes."""
    net = Net((3, 8, 8))
    values = net.random.normal(size=(4, 3, 1, 1))
    values[1] = 0.0
    weight = net.builder.add_constant("w", values)
    bias = net.builder.add_constant("b", [0.5, 3.0, 0.0, -0.1])
    model = net.builder.finish([net.add(Op.CONV, [net.x, weight, bias], "c")])
    numerics = replace(ARITHMETICS["multiply and shift, zero points"], fusions=())
    graph = quantize_network(model, numerics, [DATA], settings("minmax"))
    noise = signal_to_noise(model, graph, [DATA], lambda _: reference.run(
        graph, _codes(graph, numerics)).tensors)  # fmt: skip
    assert noise[-1].decibels > 30
    silent = quantize_network(model, numerics, [DATA * 0], settings())
    assert silent.tensors["x"].format.scale.values()[0] > 0


def test_sums_wider_than_the_accumulator_are_refused() -> None:
    """Nothing is quantized into an accumulator that may overflow."""
    from nibblefit.errors import GraphError

    numerics = Numerics(accumulator=Accumulator(12))
    with pytest.raises(GraphError, match="accumulator"):
        quantize_network(_two_layers(), numerics, [DATA], settings())


def test_narrow_biases_join_by_a_left_shift() -> None:
    """Eight-bit biases take the finest power of two that holds them."""
    graph = quantize_network(_two_layers(), Numerics(), [DATA], settings())
    assert graph.node("c1").steps_of_input(2) == ()
    narrow = quantize_network(_two_layers(), ARITHMETICS["narrow bias"], [DATA], settings())
    (step,) = narrow.node("c1").steps_of_input(2)
    assert isinstance(step, ShiftLeft)


def test_rounding_of_requantization_is_the_declared_one() -> None:
    """Every right shift of the graph carries the target's rounding."""
    numerics = Numerics(requant=RequantRule(rounding=Rounding.HALF_AWAY))
    graph = quantize_network(_two_layers(), numerics, [DATA], settings())
    shifts = [s for node in graph.nodes for s in node.steps if isinstance(s, ShiftRight)]
    assert {step.rounding for step in shifts} == {Rounding.HALF_AWAY}


def test_bitwise_operators_act_on_codes_of_one_format() -> None:
    """OR and XOR combine two's complement codes; engine, judge and twin agree on them."""
    net = Net((3, 8, 8))
    y = net.conv(net.x, 3, "c")
    model = net.builder.finish([net.add(Op.IDENTITY, [net.add(Op.ADD, [net.x, y], "sum")], "i")])
    graph = quantize_network(model, Numerics(), [DATA], settings())
    (node,) = (n for n in graph.nodes if n.op is Op.ADD)
    for op in (Op.OR, Op.XOR):
        aligned = tuple((*steps, Clamp(-128, 127)) for steps in node.input_steps or ((), ()))
        words = replace(node, op=op, input_steps=aligned, steps=(), accumulator=None)
        changed = graph.with_nodes(*(words if n is node else n for n in graph.nodes))
        codes = _codes(changed, Numerics())
        judged = reference.run(changed, codes).tensors
        found = Twin(changed).codes(torch.from_numpy(codes["x"]))
        require_equal(judged, {key: value.numpy() for key, value in found.items()}, changed)
