"""Errors of layers against exact recomputation; also where scales change."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from tests.tidl.current.executing import quantized
from tests.tidl.networks import Net, classifier, samples

from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.fold import fold
from nibblefit.quantization.lowering.runtime.context import EXPONENTS
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.quantize import quantize_network as quantize_classic
from nibblefit_tidl.triage.differences import POINTS, LayerError, decibels, layer_errors
from nibblefit_tidl.triage.layers import layers_of

Values = npt.NDArray[np.float64]


def _errors(
    model: Graph, graph: QuantizedGraph, real: npt.NDArray[np.float32], *, classic: bool = False
) -> dict[str, LayerError]:
    layers = layers_of(fold(model), classic=classic)
    found = layer_errors(fold(model), graph, layers, [real[:3], real[3:]])
    return {error.layer.name: error for error in found}


def _meant(graph: QuantizedGraph, real: npt.NDArray[np.float32]) -> dict[str, Values]:
    """Return what the judge's codes mean, from the definition of a format."""
    (name,) = graph.inputs
    rounding = Rounding(graph.metadata["input_rounding"])
    codes = reference.run(graph, {name: quantize(real, graph.tensors[name].format, rounding)})
    found = {}
    for tensor, raw in codes.tensors.items():
        fmt = graph.tensors[tensor].format
        found[tensor] = (raw - fmt.zero_point[0]) * fmt.scale.values()[0]
        exponent = graph.metadata.get(EXPONENTS, {}).get(tensor)
        if exponent is not None:
            factors = 2.0 ** codes.tensors[exponent].astype(np.float64)
            found[tensor] = found[tensor] * factors.reshape(-1, *[1] * (raw.ndim - 1))
    return found


def _check(error: LayerError, wanted: Values, found: Values) -> None:
    difference = wanted - found
    assert error.values == wanted.size
    assert error.mean_abs == pytest.approx(np.abs(difference).mean(), rel=1e-4)
    assert error.max_abs == pytest.approx(np.abs(difference).max(), rel=1e-4)
    expected = 10 * math.log10((wanted**2).sum() / (difference**2).sum())
    assert error.decibels == pytest.approx(expected, abs=1e-2)
    cosine = (wanted * found).sum() / math.sqrt((wanted**2).sum() * (found**2).sum())
    assert error.cosine == pytest.approx(cosine, rel=1e-6)
    span = max(wanted.max(), 0.0) - min(wanted.min(), 0.0)
    assert error.relative == pytest.approx(np.abs(difference).max() / span, rel=1e-4)


@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
def test_errors_are_those_of_judge_and_float_reference(part: str) -> None:
    """Every figure of every layer, over two batches, from the definitions in float64."""
    model, graph = classifier(), quantized(classifier(), part).graph
    real = samples(model, 5, seed=9)
    wanted, found = run_float(model, {"x": real}), _meant(graph, real)
    errors = _errors(model, graph, real)
    assert set(errors) == {layer.name for layer in layers_of(fold(model), classic=False)}
    for name, error in errors.items():
        _check(error, wanted[name], found[name])
        assert error.format == graph.tensors[name].format.name


def test_classic_scales_change_with_the_frame() -> None:
    """Frames of very different size keep their ratio: each has its own scale."""
    model = classifier()
    graph, _ = quantize_classic(model, ClassicOptions(), [samples(model)])
    real = (
        samples(model, 5, seed=9) * np.array([1, 0.1, 1, 4, 0.5], np.float32)[:, None, None, None]
    )
    wanted, found = run_float(model, {"x": real}), _meant(graph, real)
    errors = _errors(model, graph, real, classic=True)
    assert graph.metadata[EXPONENTS]
    for name, error in errors.items():
        _check(error, wanted[name], found[name])


@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
def test_saturation_counts_what_lies_beyond(part: str) -> None:
    """Inputs twice as large as in calibration saturate; zeros behind a rectifier do not count."""
    model, graph = classifier(), quantized(classifier(), part).graph
    real = 2 * samples(model, 5, seed=9)
    wanted, found = run_float(model, {"x": real}), _meant(graph, real)
    errors = _errors(model, graph, real)
    for name in ("x", "stem.norm.relu"):
        fmt = graph.tensors[name].format
        step = fmt.scale.values()[0]
        top, bottom = ((end - fmt.zero_point[0]) * step for end in (fmt.hi, fmt.lo))
        beyond = wanted[name] - found[name]
        high = (np.abs(found[name] - top) < step / 4) & (beyond > step / 2)
        low = (np.abs(found[name] - bottom) < step / 4) & (beyond < -step / 2)
        assert errors[name].saturated_high == high.sum() > 0
        assert errors[name].saturated_low == low.sum()
        assert errors[name].saturated == high.sum() + low.sum()
    assert errors["stem.norm.relu"].saturated_low == 0


def test_points_keep_the_worst() -> None:
    """At most a fixed number of points are drawn, and the largest error is among them."""
    model, graph = classifier(), quantized(classifier()).graph
    error = _errors(model, graph, samples(model, 5, seed=9))["stem.norm.relu"]
    assert error.values > POINTS == len(error.points)
    assert np.abs(error.points[:, 0] - error.points[:, 1]).max() == pytest.approx(error.max_abs)


def test_zero_tensors_have_no_ratio() -> None:
    """No noise is infinite, noise without signal minus infinite; a dead layer is exact."""
    assert decibels(1.0, 0.0) == math.inf
    assert decibels(0.0, 1.0) == -math.inf
    net = Net((2, 4, 4))
    weight = net.constant("w", np.zeros((2, 2, 1, 1)))
    bias = net.constant("c", np.zeros(2))
    dead = net.builder.add(Op.CONV, [net.x, weight, bias], "dead", strides=(1, 1), pads=(0,) * 4,
                           dilations=(1, 1), groups=1)  # fmt: skip
    model = net.finish(dead)
    error = _errors(model, quantized(model).graph, samples(model, 4))["dead"]
    assert (error.max_abs, error.decibels, error.cosine, error.relative) == (
        0.0,
        math.inf,
        1.0,
        0.0,
    )
