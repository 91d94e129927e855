"""Which layers deserve 16 bits, and whether calibration saw enough."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tidl.current.executing import executed, quantized
from tests.tidl.networks import Net, classifier, samples

from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit.runner import SilentReporter
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.triage.differences import scored_tensors
from nibblefit_tidl.triage.procedure import EMULATION, MIXED, NARROW, WIDE, Setting, verdict_of
from nibblefit_tidl.triage.ranking import FIRST, LAST, SHARE, Gain, Ranking, rank_network
from nibblefit_tidl.triage.stability import (
    UNSETTLED,
    Spread,
    Stability,
    half_of,
    ranges_from,
    spreads_of,
)


def _ranked(model: Graph, part: str = "tda4vm", **options: object) -> Ranking:
    chosen = TidlOptions(**{"calibration_iterations": 0, **options})
    graph = quantized(model, part, **options).graph
    frames = samples(model, 6, seed=3)
    return rank_network(
        fold(model), graph, chosen, part, frames, SilentReporter(), [samples(model)]
    )


@pytest.mark.parametrize("part", ["tda4vm", "am68a"])
def test_gains_are_what_the_quantizer_gives(part: str) -> None:
    """Each gain equals the one of the layer's name in output_feature_16bit_names, run anew."""
    model = classifier()
    found = _ranked(model, part)
    frames = samples(model, 6, seed=3)
    wanted = run_float(model, {"x": frames})["head"]
    for gain in found.gains[:2]:
        graph = quantized(model, part, output_feature_16bit_names=gain.names).graph
        real = dequantize(executed(graph, frames)["head"], graph.tensors["head"].format)
        expected = 10 * np.log10((wanted**2).sum() / ((wanted - real) ** 2).sum())
        assert gain.decibels == pytest.approx(expected, abs=0.05)
        assert gain.gain == pytest.approx(gain.decibels - found.base)


def test_ranking_is_ordered_and_hinted() -> None:
    """Best first; first and last convolution carry TI's hint and are measured together."""
    found = _ranked(classifier())
    gains = [gain.gain for gain in found.gains]
    assert gains == sorted(gains, reverse=True)
    hints = {gain.hint: gain.names[0] for gain in found.gains if gain.hint}
    assert hints == {FIRST: "stem.norm.relu", LAST: "b"}
    assert found.rule is not None
    assert set(found.rule.names) == {"stem.norm.relu", "b"}
    assert found.everywhere is not None
    assert found.everywhere.gain > max(gains)
    assert found.suggested is not None
    assert found.suggested.names == tuple(
        gain.names[0] for gain in found.gains[: len(found.suggested.names)]
    )
    assert found.suggested.gain >= SHARE * found.everywhere.gain
    assert all(gain.latency > 1 for gain in found.gains)
    assert found.suggested.names[0] in found.verdict


def test_layers_with_16_bits_already_are_left_out() -> None:
    """What the run widened is the start the others are measured from."""
    found = _ranked(classifier(), output_feature_16bit_names=("b",))
    names = {gain.names[0] for gain in found.gains}
    assert "b" not in names
    assert "stem.norm.relu" in names


def test_nothing_is_suggested_where_16_bits_do_not_help() -> None:
    """A network whose 8-bit integers are exact gains nothing."""
    net = Net((2, 4, 4))
    weight = net.constant("w", np.zeros((2, 2, 1, 1)))
    bias = net.constant("c", np.zeros(2))
    out = net.builder.add(Op.CONV, [net.x, weight, bias], "zero", strides=(1, 1), pads=(0,) * 4,
                          dilations=(1, 1), groups=1)  # fmt: skip
    found = _ranked(net.finish(out))
    assert found.suggested is None
    assert all(gain.gain == 0 for gain in found.gains)
    assert "widths are not what limits" in found.verdict


def test_spread_noise_is_said() -> None:
    """Where few layers do not win half, the verdict says so."""
    weak, strong = Gain(("a",), "conv", 31.0, 1.0, 1.1), Gain(("*",), "", 50.0, 20.0, 2.0)
    found = Ranking(8, 30.0, (weak,), weak, None, strong)
    assert "spread over all" in found.verdict
    assert "spread" not in Ranking(8, 30.0, (strong,), strong, None, strong).verdict


def test_indices_are_judged_by_what_they_come_from() -> None:
    """A network that ends in argmax is ranked by the scores before it."""
    net = Net((3, 8, 8))
    scores = net.conv(net.relu(net.conv(net.x, 8, "a")), 4, "scores")
    model = net.finish(net.add(Op.ARGMAX, [scores], "classes", axis=1, keepdims=True))
    assert scored_tensors(fold(model)) == ("scores",)
    found = _ranked(model)
    assert 10 < found.base < 60
    assert {gain.names[0] for gain in found.gains} == {"a.relu", "scores"}


def test_devices_without_wide_deconvolution() -> None:
    """AM62A has no transposed convolution in 16 bits, so none is ranked there."""
    for part, ranked in (("am62a", False), ("am68a", True)):
        net = Net((2, 4, 4))
        weight = net.constant("w", net.random.normal(size=(2, 2, 4, 4)))
        up = net.add(Op.CONV_TRANSPOSE, [net.relu(net.conv(net.x, 2, "a")), weight], "up",
                     strides=(2, 2), pads=(1,) * 4, dilations=(1, 1), groups=1,
                     output_padding=(0, 0))  # fmt: skip
        names = {gain.names[0] for gain in _ranked(net.finish(up), part).gains}
        assert ("up" in names) is ranked
        assert "a.relu" in names


def test_halves_share_no_frame() -> None:
    """Every second frame goes to each half, whatever the batches are."""
    frames = np.arange(11, dtype=np.float32).reshape(11, 1)
    for size in (1, 2, 3, 11):
        batches = [frames[start : start + size] for start in range(0, 11, size)]
        halves = [np.concatenate(list(half_of(batches, start))).ravel() for start in (0, 1)]
        assert np.array_equal(halves[0], frames.ravel()[0::2])
        assert np.array_equal(halves[1], frames.ravel()[1::2])


def test_unlike_halves_are_unsettled() -> None:
    """One half with inputs three times as large gives ranges far apart; equal halves none."""
    model = classifier()
    mode = mode_of(device_named("tda4vm"), TidlOptions())
    real = samples(model, 8)
    first, second = (ranges_from(fold(model), mode, 0.01, [real * k]) for k in (1.0, 3.0))
    apart = Stability(40, spreads_of(first, second))
    assert apart.too_few
    assert apart.spreads[0].apart == max(spread.apart for spread in apart.spreads)
    x = next(spread for spread in apart.spreads if spread.tensor == "x")
    assert x.apart == pytest.approx(1 / 3, rel=0.01)
    assert x.bits == pytest.approx(np.log2(3), rel=0.01)
    assert "raise quantize.calibration_samples" in apart.verdict
    settled = Stability(40, spreads_of(first, first))
    assert not settled.too_few
    assert settled.verdict.startswith("ranges are settled")


def test_fewer_than_ten_samples_are_too_few() -> None:
    """However alike the halves are; a skipped check says nothing."""
    same = (Spread("x", (0.0, 1.0), (0.0, 1.0), 0.0, 0.0),)
    assert Stability(9, same).too_few
    assert "use at least 10" in Stability(9, same).verdict
    assert not Stability(10, same).too_few
    assert Stability(1).too_few
    assert not Stability(1, skipped="trained ranges").too_few
    edge = (Spread("x", (0.0, 1.0), (0.0, 1.0), UNSETTLED, 0.0),)
    assert not Stability(10, edge).too_few


def test_ranges_of_nothing_are_not_apart() -> None:
    """A tensor that is zero in one half only is as unsettled as can be."""
    dead, alive = {"t": (0.0, 0.0)}, {"t": (0.0, 2.0)}
    assert spreads_of(dead, dead)[0] == Spread("t", (0.0, 0.0), (0.0, 0.0), 0.0, 0.0)
    found = spreads_of(dead, alive)[0]
    assert (found.apart, found.bits) == (1.0, float("inf"))


@pytest.mark.parametrize(
    ("drops", "words"),
    [
        ((0.5, 0.0, 0.0, 0.0), "conversion is wrong"),
        ((0.0, 0.02, 0.0, 0.0), "nothing needs 16"),
        ((0.0, 0.1, 0.0, 0.01), "for the layers named are enough"),
        ((0.0, 0.1, 0.0, 0.1), "give more layers 16 bits"),
        ((0.0, 0.1, 0.0, None), "give more layers 16 bits"),
        ((0.0, 0.1, 0.1, 0.1), "even 16 bits lose too much"),
    ],
)
def test_verdict_follows_the_settings(drops: tuple[float | None, ...], words: str) -> None:
    """TI's order: float emulation first, then 8 bits, then 16 and the mixture."""
    names = (EMULATION, NARROW, WIDE, MIXED)
    rows = [Setting(name, 0.9, 30.0, drop) for name, drop in zip(names, drops, strict=True)]
    assert words in verdict_of(rows, 0.02)
