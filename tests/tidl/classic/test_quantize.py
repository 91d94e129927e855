"""The classic quantizer: zeros of a mask, warnings, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tidl.networks import Net, classifier, samples

from nibblefit.engine import Engine
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit.quantization.noise import signal_to_noise
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.quantize import (
    quantize_network,
    warnings,
)


@pytest.mark.parametrize("bits", range(4, 13))
def test_zeros_of_the_graph_are_zeros_of_the_mask(bits: int) -> None:
    """Weights that decode to zero are those that were zero, plus only ones that round to it."""
    model = classifier(zeros=0.6)
    graph, parameters = quantize_network(
        model, ClassicOptions(parameter_bits=bits), [samples(model)]
    )
    folded = fold(model)
    for name, found in parameters.items():
        values = folded.constants[folded.node(name).inputs[1]]
        decoded = graph.constants[graph.node(name).inputs[1]] - found.zero
        assert bool(np.all(decoded[values == 0] == 0)), name
        small = np.abs(values) * found.per_unit < 0.5
        assert bool(np.all(small[decoded == 0])), name


def test_the_network_keeps_its_meaning() -> None:
    """Every tensor, internal ones with changing scale too, is near the float network's."""
    model = classifier()
    data = samples(model)
    graph, _ = quantize_network(model, ClassicOptions(), [data])
    engine = Engine(graph)

    def execute(real: np.ndarray) -> dict[str, np.ndarray]:
        fmt = graph.tensors["x"].format
        return dict(engine.run({"x": quantize(real, fmt, numerics_of(ClassicOptions()).inputs
                                              .rounding)}, keep="all").tensors)  # fmt: skip

    noise = signal_to_noise(model, graph, [data], execute)
    assert {item.tensor for item in noise} >= {"stem.norm.relu", "join.relu", "head"}
    assert min(item.decibels for item in noise) > 25


def test_a_large_bias_is_reported() -> None:
    """The layer whose bias stretches the range is named."""
    net = Net((3, 6, 6))
    graph = net.finish(net.conv(net.x, 4, "c", bias=2000.0))
    options = ClassicOptions()
    _, parameters = quantize_network(graph, options, [samples(graph)])
    (line,) = warnings(fold(graph), options, parameters)
    assert "'c'" in line
    assert "stretches" in line


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, (0, 0, 0)),
        ({"frames": "video"}, (20, 5, 0)),
        ({"frames": "video", "history_weighs": "frame"}, (80, 95, 0)),
        ({"frames": "still", "history_weighs": "frame"}, (0, 0, 0)),
        ({"history_first": 50, "history": 10, "margin": 7}, (50, 10, 7)),
    ],
)
def test_presets_and_the_switch_for_the_weights(
    given: dict[str, object], kept: tuple[int, int, int]
) -> None:
    """The declared percentages of the past follow options and their meaning."""
    rule = numerics_of(ClassicOptions(**given)).requant
    assert (rule.history_first, rule.history, rule.margin) == kept


def test_scale_and_bound_and_softmax_run() -> None:
    """A batch norm that cannot fold, relu6 and softmax have their integer forms."""
    net = Net((4, 6, 6))
    scaled = net.norm(net.add(Op.MAX_POOL, [net.x], "p", kernel=(2, 2), strides=(2, 2),
                              pads=(0,) * 4), "bn")  # fmt: skip
    bounded = net.add(Op.CLIP, [net.conv(scaled, 4, "c")], "six", lo=0.0, hi=0.5)
    again = net.norm(bounded, "bn2")
    out = net.add(Op.SOFTMAX, [net.linear(net.relu(again), 4, "head")], "soft", axis=1)
    graph = net.finish(out)
    data = samples(graph)
    quantized, _ = quantize_network(graph, ClassicOptions(), [data])
    engine = Engine(quantized)

    def execute(real: np.ndarray) -> dict[str, np.ndarray]:
        fmt = quantized.tensors["x"].format
        rounding = numerics_of(ClassicOptions()).inputs.rounding
        return dict(engine.run({"x": quantize(real, fmt, rounding)}, keep="all").tensors)

    noise = {n.tensor: n.decibels for n in signal_to_noise(graph, quantized, [data], execute)}
    assert min(noise.values()) > 20, noise
