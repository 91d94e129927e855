"""Shifts chosen frame by frame: exact integers, video that saturates and recovers, equal runs."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from tests.tidl.networks import Net, classifier, samples

from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.steps import Add, Mul, ShiftLeft
from nibblefit.ir import reference
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.twin import Twin
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.quantize import quantize_network


def _two_layers(**options: object) -> QuantizedGraph:
    net = Net((2, 6, 6), seed=3)
    second = net.conv(net.relu(net.conv(net.x, 4, "one")), 3, "two")
    graph = net.finish(net.relu(second))
    return quantize_network(graph, ClassicOptions(**options), [samples(graph)])[0]


def _codes(graph: QuantizedGraph, count: int, seed: int = 5) -> dict[str, IntArray]:
    fmt = graph.tensors["x"].format
    shape = (count, *graph.tensors["x"].shape)
    return {"x": np.random.default_rng(seed).integers(fmt.lo, fmt.hi, shape, endpoint=True)}


def _convolved(x: IntArray, weights: IntArray) -> IntArray:
    """Return a 3 × 3 convolution with padding 1 in Python integers."""
    wide = np.pad(x.astype(object), ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(x), len(weights), *x.shape[2:]), object)
    for row in range(3):
        for column in range(3):
            part = wide[:, :, row : row + x.shape[2], column : column + x.shape[3]]
            out += np.einsum("bchw,oc->bohw", part, weights[:, :, row, column].astype(object))
    return out


def _bias_factor(graph: QuantizedGraph) -> tuple[Fraction, int]:
    """Return factor and base shift of the second layer's bias as its steps state them."""
    node = next(n for n in graph.nodes if n.name == "two:bias")
    factor, shift = Fraction(1), 0
    for step in node.steps_of_input(0):
        factor *= step.value if isinstance(step, Mul) else 1
        factor *= 2**step.bits if isinstance(step, ShiftLeft) else 1
    for step in node.steps_of_input(1):
        shift += int(step.value) if isinstance(step, Add) else 0
    return factor, shift


def test_every_integer_equals_exact_fractions() -> None:
    """Sums, biases at the frame's scale, shift, rounding and saturation, by brute force."""
    graph = _two_layers()
    found = reference.run(graph, _codes(graph, 7)).tensors
    fmt = graph.tensors["two.weight"].format
    weights = graph.constants["two.weight"] - fmt.zero_point[0]
    factor, shift = _bias_factor(graph)
    step = graph.tensors["one.relu"].format.scale.values()[0]
    assert abs(factor / 2**shift * Fraction(step) - 1) < Fraction(1, 2**14)
    exact = _convolved(found["one.relu"], weights)
    for frame in range(7):
        exponent = int(found["one:exponent"][frame, 0])
        bias = [
            math.floor(Fraction(int(b)) * factor / Fraction(2) ** (shift + exponent)
                       + Fraction(1, 2))
            for b in graph.constants["two.bias"]
        ]  # fmt: skip
        sums = exact[frame] + np.array(bias, object)[:, None, None]
        assert sums.tolist() == found["two:sums"][frame].tolist()
        needed = next(n for n in range(40) if int(sums.max()) >> n <= 255)
        assert int(found["two:shift"][frame, 0]) == needed
        amount = int(found["two:amount"][frame, 0])
        codes = [
            min(max(math.floor(Fraction(int(s), 2**amount) + Fraction(1, 2)), 0), 255)
            for s in sums.reshape(-1)
        ]
        assert codes == found["two.relu:codes"][frame].reshape(-1).tolist()
        assert amount == needed


def test_outputs_are_decoded_to_one_scale_exactly() -> None:
    """An output code is code · 2^exponent of the calibrated step, without rounding."""
    graph = _two_layers()
    found = reference.run(graph, _codes(graph, 5)).tensors
    exponent = found[graph.metadata["frame_exponents"]["two.relu:codes"]]
    step = graph.tensors["two.relu:codes"].format.scale.values()[0]
    wanted = found["two.relu:codes"] * step * np.exp2(exponent[:, :, None, None].astype(float))
    fine = graph.tensors["two.relu"].format.scale.values()[0]
    assert np.array_equal(found["two.relu"] * fine, wanted)


def test_a_still_image_does_not_depend_on_the_images_before() -> None:
    """With history 0 the order of frames does not matter."""
    graph = _two_layers()
    codes = _codes(graph, 6)["x"]
    forward = reference.run(graph, {"x": codes}).outputs["two.relu"]
    backward = reference.run(graph, {"x": codes[::-1]}).outputs["two.relu"]
    assert np.array_equal(forward, backward[::-1])


def test_video_saturates_at_a_cut_and_recovers() -> None:
    """A bright scene after a dark one clips at first; later frames choose a larger shift."""
    graph = _two_layers(frames="video", history_weighs="frame", history_first=20)
    codes = _codes(graph, 1)["x"]
    dark, bright = codes // 16, codes
    movie = np.concatenate([np.repeat(dark, 60, 0), np.repeat(bright, 120, 0)])
    found = reference.run(graph, {"x": movie}).tensors
    amounts = found["one:amount"][:, 0]
    saturated = (found["one.relu"] == 255).mean(axis=(1, 2, 3))
    settled = int(amounts[59])
    assert amounts[60] == settled or amounts[60] == settled + 1
    assert saturated[60] > 0.1
    assert int(amounts[-1]) >= settled + 3
    assert saturated[-1] <= 0.05
    assert bool(np.all(np.diff(saturated[60:]) <= 1e-9))


def test_weights_of_the_past_follow_a_cut_at_once() -> None:
    """Read the other way, 5 % belong to the past and the first bright frame hardly clips."""
    graph = _two_layers(frames="video")
    codes = _codes(graph, 1)["x"]
    movie = np.concatenate([np.repeat(codes // 16, 30, 0), np.repeat(codes, 2, 0)])
    amounts = reference.run(graph, {"x": movie}).tensors["one:amount"][:, 0]
    assert int(amounts[30]) >= int(amounts[29]) + 3


def test_a_margin_leaves_room() -> None:
    """With 100 percent on top the shift is at least one bit larger."""
    plain, roomy = _two_layers(), _two_layers(margin=100)
    codes = _codes(plain, 4)
    tight = reference.run(plain, codes).tensors["one:shift"]
    loose = reference.run(roomy, codes).tensors["one:shift"]
    assert bool(np.all(loose >= tight + 1))


@pytest.mark.parametrize("frames", ["still", "video"])
@pytest.mark.parametrize("bits", [4, 8, 12])
def test_judge_engine_and_twin_agree_with_state(frames: str, bits: int) -> None:
    """All executions give the same integers, in one batch or frame by frame."""
    model = classifier(zeros=0.5)
    options = ClassicOptions(frames=frames, parameter_bits=bits)
    graph, _ = quantize_network(model, options, [samples(model)])
    codes = _codes(graph, 6)
    judged = reference.run(graph, codes)
    engine = Engine(graph).run(codes, keep="all")
    twin = Twin(graph)(torch.from_numpy(codes["x"]))
    for name, tensor in judged.tensors.items():
        assert np.array_equal(tensor, engine.tensors[name]), name
        assert np.array_equal(tensor, twin[name].numpy()), name
    state = dict(graph.states)
    for frame in range(6):
        one = {"x": codes["x"][frame : frame + 1]}
        again = Twin(graph)(torch.from_numpy(one["x"]), state)
        done = reference.run(graph, one, state)
        state = dict(done.state)
        assert np.array_equal(done.outputs["head"], judged.outputs["head"][frame : frame + 1])
        assert np.array_equal(again["head"].numpy(), done.outputs["head"])
    assert {n: s.tolist() for n, s in state.items()} == {
        n: s.tolist() for n, s in judged.state.items()
    }


def test_dark_frames_of_any_depth_stay_legal() -> None:
    """All-zero frames reach the end of the exponents and decode to what the biases say."""
    model = classifier()
    graph, _ = quantize_network(model, ClassicOptions(), [samples(model)])
    zero = {"x": np.zeros((1, 3, 12, 12), np.int64)}
    judged = reference.run(graph, zero).tensors
    assert np.array_equal(judged["head"], Engine(graph).run(zero).outputs["head"])
    from nibblefit.fixed.quantize import dequantize
    from nibblefit.ir.float_reference import run_float

    real = run_float(model, {"x": np.zeros((1, 3, 12, 12), np.float32)})["head"]
    found = dequantize(judged["head"], graph.tensors["head"].format)
    np.testing.assert_allclose(found, real, atol=0.1 * float(np.abs(real).max()))
