"""Quantization for the current generation: every mode, widths, zeros, meaning."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tidl.current.executing import decibels, executed, quantized
from tests.tidl.networks import Net, classifier, samples

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.steps import Mul, ShiftRight
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit.quantization.units import units
from nibblefit_tidl.current.modes import Mode
from nibblefit_tidl.current.quantize import assign
from nibblefit_tidl.current.settings import CodeSettings
from nibblefit_tidl.devices import AM68A

MODES = [("tda4vm", 0), ("tda4vm", 1), ("am68a", 0), ("am68a", 1), ("am68a", 3), ("am68a", 4)]


def _everything() -> Graph:
    """Return a network with most operators."""
    net = Net((3, 8, 8), seed=2)
    stem = net.conv(net.x, 6, "stem")
    six = net.add(Op.CLIP, [net.conv(stem, 6, "wide", groups=6)], "six", lo=0.0, hi=0.5)
    leaky = net.add(Op.LEAKY_RELU, [net.conv(six, 6, "b")], "leaky", slope=0.1)
    slope = net.constant("p.slope", [0.1, 0.2, 0.3, 0.05, 0.0, 0.25])
    prelu = net.add(Op.PRELU, [net.conv(leaky, 6, "c"), slope], "p")
    parts = net.add(Op.CONCAT, [six, prelu, net.relu(leaky)], "cat", axis=1)
    pool = net.add(Op.AVG_POOL, [parts], "pool", kernel=(2, 2), strides=(2, 2), pads=(0,) * 4)
    gate = net.add(Op.SIGMOID, [net.conv(pool, 18, "g", kernel=1)], "gate")
    product = net.add(Op.MUL, [pool, gate], "product")
    offset = net.constant("k", np.linspace(-0.2, 0.2, 18).reshape(18, 1, 1))
    shifted = net.add(Op.SUB, [product, offset], "less")
    scaled = net.norm(net.add(Op.ABS, [shifted], "abs"), "bn")
    mean = net.add(Op.AVG_POOL, [scaled], "mean", kernel=(3, 3), strides=(1, 1), pads=(1,) * 4)
    return net.finish(net.add(Op.SOFTMAX, [net.linear(mean, 4, "head")], "soft", axis=1))


@pytest.mark.parametrize(("part", "kind"), MODES)
@pytest.mark.parametrize("bits", [8, 16])
def test_all_operators_run_and_keep_their_meaning(part: str, kind: int, bits: int) -> None:
    """Judge, engine and twin agree on every tensor, which follows the float network."""
    model = _everything()
    found = quantized(model, part, quantization_scale_type=kind, tensor_bits=bits)
    noise = decibels(model, found.graph)
    assert min(noise.values()) > (17 if bits == 8 else 40), noise


@pytest.mark.parametrize(("part", "kind"), MODES)
def test_zeros_of_weights_stay_zeros(part: str, kind: int) -> None:
    """Weights that were zero have code zero, and no weight beyond half a step does."""
    model = classifier(zeros=0.7)
    graph = quantized(model, part, quantization_scale_type=kind).graph
    folded = fold(model)
    for node in folded.nodes:
        if node.op not in (Op.CONV, Op.LINEAR):
            continue
        name = graph.node(node.name).inputs[1]
        values, codes, fmt = folded.constants[name], graph.constants[name], graph.tensors[name]
        assert bool(np.all(codes[values == 0] == 0))
        steps = fmt.format.scale.values().reshape(-1, *[1] * (values.ndim - 1))
        assert bool(np.all(np.abs(values / steps)[codes == 0] <= 0.5))


@pytest.mark.parametrize("kind", [0, 1])
def test_symmetric_modes_shift_only(kind: int) -> None:
    """Layers with weights move from accumulator to output by one right shift, no multiplier."""
    graph = quantized(classifier(), quantization_scale_type=kind).graph
    for node in graph.nodes:
        if node.op in (Op.CONV, Op.LINEAR):
            assert not any(isinstance(step, Mul) for step in node.steps)
            x, w = (graph.tensors[name].format.scale.values()[0] for name in node.inputs[:2])
            ratio = np.log2(graph.tensors[node.output].format.scale.values()[0] / (x * w))
            shifts = [step.bits for step in node.steps if isinstance(step, ShiftRight)]
            assert ratio == (shifts[0] if shifts else 0)


def test_symmetric_signs_follow_the_data_and_have_no_zero_point() -> None:
    """Rectified tensors are unsigned with zero point 0 and use all eight bits."""
    graph = quantized(classifier(), "tda4vm").graph
    relu = graph.tensors["join.relu"].format
    assert (relu.bits, relu.signed, relu.zero_point) == (8, False, (0,))
    assert relu.scale.is_power_of_two
    assert graph.tensors["b"].format.signed
    assert int(executed(graph, samples(classifier()))["join.relu"].max()) > 127


def test_a_clip_fixes_the_scale() -> None:
    """relu6's output step is its bound over 2^8, whatever calibration saw."""
    net = Net((2, 6, 6))
    graph = net.finish(net.add(Op.CLIP, [net.conv(net.x, 3, "c")], "six", lo=0.0, hi=6.0))
    real = quantized(graph, quantization_scale_type=0).graph.tensors["six"].format
    assert real.scale.values()[0] == pytest.approx(6.0 / 256, rel=1e-12)
    whole = quantized(graph, quantization_scale_type=1).graph.tensors["six"].format
    assert whole.scale.values()[0] == 8.0 / 256


def test_concatenations_and_sums_use_narrow_factors() -> None:
    """The coarsest part keeps its scale; the others are multiplied by 7-bit factors."""
    net = Net((2, 6, 6))
    a, b = net.conv(net.x, 2, "a"), net.relu(net.conv(net.x, 2, "b"))
    graph = net.finish(net.add(Op.CONCAT, [a, b], "cat", axis=1), net.add(Op.ADD, [a, b], "sum"))
    found = quantized(graph, quantization_scale_type=0).graph
    fmt = {name: found.tensors[name].format.scale.values()[0] for name in ("a", "b.relu")}
    factors = [s.value for steps in found.node("sum").input_steps for s in steps]
    coarsest = max(fmt.values())
    assert factors == [round(step / coarsest * 64) for step in fmt.values()]
    multiplied = [s for steps in found.node("cat").input_steps for s in steps]
    assert all(s.value <= 128 for s in multiplied if isinstance(s, Mul))
    executed(found, samples(graph))


@pytest.mark.parametrize(("kernel", "bits"), [((2, 2), 8), ((3, 3), 8), ((4, 4), 12)])
def test_averages_multiply_by_a_rounded_reciprocal(kernel: tuple[int, int], bits: int) -> None:
    """8 fractional bits for 2 × 2 and 3 × 3 with stride 2, 12 for other windows."""
    net = Net((2, 8, 8))
    pool = net.add(Op.AVG_POOL, [net.x], "pool", kernel=kernel, strides=(2, 2), pads=(0,) * 4)
    found = quantized(net.finish(pool), quantization_scale_type=1).graph
    (factor,) = [s.value for s in found.node("pool").steps if isinstance(s, Mul)]
    assert factor == round(2**bits / (kernel[0] * kernel[1]))


def test_depthwise_layers_may_have_a_scale_per_channel() -> None:
    """Flag 8: steps are powers of two below the coarsest, so shifts still do."""
    model = _everything()
    found = quantized(model, quantization_scale_type=0, accuracy_level=9,
                      channel_wise_quantization=True)  # fmt: skip
    steps = found.graph.tensors["wide.weight"].format.scale.values()
    assert len(steps) == 6
    assert len(found.graph.tensors["stem.weight"].format.scale) == 1
    assert bool(np.all(np.log2(steps.max() / steps) % 1 == 0))
    assert min(decibels(model, found.graph).values()) > 17


@pytest.mark.parametrize("kind", [0, 4])
def test_weights_made_by_another_layer_are_refused(kind: int) -> None:
    """The layer is named."""
    net = Net((2, 4, 4))
    flat = net.add(Op.FLATTEN, [net.x], "flat", start_axis=1)
    made = net.add(Op.RESHAPE, [flat], "made", shape=(4, 8))
    graph = net.finish(net.builder.add(Op.LINEAR, [made, made], "lin"))
    mode = Mode(AM68A, kind, 8, 0)
    ranges = dict.fromkeys(("x", "flat", "made", "lin"), (-1.0, 1.0))
    with pytest.raises(UnsupportedError, match=r"'lin'.*from another layer"):
        assign(graph, units(graph, mode.numerics), ranges, CodeSettings(mode))


@pytest.mark.parametrize("kind", [0, 4])
def test_products_and_movers_run(kind: int) -> None:
    """Matmul of two tensors, transposed convolution, resizing and padding."""
    net = Net((2, 6, 6), seed=4)
    weight = net.constant("t.weight", net.random.normal(size=(2, 3, 2, 2)) * 0.4)
    up = net.builder.add(Op.CONV_TRANSPOSE, [net.x, weight], "t", strides=(2, 2), pads=(0,) * 4,
                         dilations=(1, 1), groups=1, output_padding=(0, 0))  # fmt: skip
    big = net.add(Op.RESIZE_BILINEAR, [up], "big", sizes=(24, 24), coordinates="half_pixel")
    swapped = net.add(Op.TRANSPOSE, [big], "swapped", perm=(0, 1, 3, 2))
    out = net.add(Op.MATMUL, [big, swapped], "mm")
    model = net.finish(net.add(Op.TANH, [out], "tanh"))
    found = quantized(model, quantization_scale_type=kind)
    assert decibels(model, found.graph)["mm"] > 20


def test_bias_calibration_never_makes_outputs_worse() -> None:
    """The mean error of the outputs falls, and the best round is kept."""
    model = classifier()
    plain = quantized(model, quantization_scale_type=0).graph
    corrected = quantized(model, quantization_scale_type=0, calibration_iterations=20).graph
    assert decibels(model, corrected)["head"] >= decibels(model, plain)["head"]
    assert any(
        not np.array_equal(plain.constants[name], corrected.constants[name])
        for name in plain.constants
    )


def test_networks_without_biases_are_left_alone() -> None:
    """Bias calibration has nothing to correct."""
    net = Net((2, 4, 4))
    weight = net.constant("c.weight", net.random.normal(size=(2, 2, 1, 1)))
    out = net.builder.add(Op.CONV, [net.x, weight], "c", strides=(1, 1), pads=(0,) * 4,
                          dilations=(1, 1), groups=1)  # fmt: skip
    found = quantized(net.finish(out), calibration_iterations=3).graph
    assert list(found.node("c").inputs) == ["x", "c.weight"]
