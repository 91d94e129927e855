"""The two accuracy options: 16 bits where there are some, else better use of 8."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.vitis.preparation.building import Building

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_vitis.calibration import Calibrated, calibrate
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.preparation.compensating import can_compensate, compensated
from nibblefit_vitis.preparation.keeping import kept_groups, outermost, refined, widened
from nibblefit_vitis.settings import DPU_DEFAULT, Device, Kind, NetworkSetting, Statistic
from nibblefit_vitis.simulation import fake_quantized

DEFAULT = NetworkSetting(
    base={k: replace(v, calib_statistic_method=Statistic.POOLED) for k, v in DPU_DEFAULT.items()}
)
BOTH = replace(DEFAULT, keep_first_last_layer_accuracy=True, keep_add_layer_accuracy=True)


def residual(seed: int = 0) -> Graph:
    """Return stem, two branches, their sum, and a classifier."""
    net = Building((3, 8, 8), seed)
    stem = net.add(Op.RELU, [net.conv(net.x, 8, "stem")], "r")
    left, right = net.conv(stem, 8, "left"), net.conv(stem, 8, "right", spread=0.1)
    sums = net.add(Op.RELU, [net.add(Op.ADD, [left, right], "sum")], "sr")
    return net.finish(net.linear(net.add(Op.GLOBAL_AVG_POOL, [sums], "mean"), 4, "fc"))


def images(count: int, seed: int) -> np.ndarray:
    """Return smooth positive images, whose neighbouring values are alike."""
    rough = np.random.default_rng(seed).normal(size=(count, 3, 8, 8))
    smooth = rough.cumsum(2).cumsum(3) / 8
    return (smooth - smooth.min(axis=(1, 2, 3), keepdims=True)).astype(np.float32) / 4


def noise_free(graph: Graph, calibrated: Calibrated, reference: Graph, data: np.ndarray) -> float:
    """Return the signal-to-noise ratio of the rounded network in dB."""
    rounded = fake_quantized(graph, calibrated.formats, DEFAULT,
                             corrections=calibrated.corrections)(data)[0]  # fmt: skip
    plain = replace(DEFAULT, device=Device.CPU)
    wanted = fake_quantized(reference, NetworkFormats(), plain)(data)[0]
    power, noise = wanted.square().sum(), (rounded - wanted).square().sum()
    return float(10 * torch.log10(power / noise))


def test_outermost_layers_and_sums_are_found() -> None:
    """Layers that no other precedes or follows; sums by their operator."""
    graph = residual()
    assert [node.name for node in outermost(graph)] == ["stem", "fc"]
    assert [group.head.name for group in kept_groups(graph, BOTH)] == ["stem", "sum", "fc"]
    assert kept_groups(graph, DEFAULT) == ()
    net = Building()
    pair = net.conv(net.x, 4, "a"), net.conv(net.x, 4, "b")
    graph = net.finish(net.conv(pair[0], 4, "c"), net.add(Op.RELU, [pair[1]], "r"))
    assert [node.name for node in outermost(graph)] == ["a", "b", "c"]


def test_devices_with_wider_words_get_16_bits() -> None:
    """Weights and results of the outermost layers, results of sums; each is said."""
    setting, notes = widened(residual(), replace(BOTH, device=Device.CPU))
    for layer in ("stem", "fc"):
        assert setting.of(layer, Kind.WEIGHTS).bit_width == 16
        assert setting.of(layer, Kind.ACTIVATION).bit_width == 16
        assert setting.of(layer, Kind.BIAS).bit_width == 8
    assert setting.of("sum", Kind.ACTIVATION).bit_width == 16
    assert setting.of("left", Kind.WEIGHTS).bit_width == 8
    assert [note.split("'")[1] for note in notes] == ["stem", "sum", "fc"]


def test_the_dpu_keeps_8_bits_and_parity_says_that_nothing_happens() -> None:
    """The original reserves both names and does nothing."""
    assert widened(residual(), BOTH) == (BOTH, ())
    parity = replace(BOTH, parity=True)
    setting, notes = widened(residual(), parity)
    assert setting is parity
    assert "do nothing in parity mode" in notes[0]
    graph, calibrated = residual(), Calibrated(NetworkFormats())
    assert refined(graph, calibrated, parity, []) == (graph, calibrated)


def test_signal_to_noise_rises_on_samples_not_seen() -> None:
    """Over 16 networks: never worse on their own samples, better on average on fresh ones."""
    seen, fresh = images(64, 1), images(256, 2)
    gains = []
    for seed in range(16):
        graph = residual(seed)
        calibrated = calibrate(graph, BOTH, [seen])
        better, found = refined(graph, calibrated, BOTH, [seen])
        own, other = (
            noise_free(better, found, graph, data) - noise_free(graph, calibrated, graph, data)
            for data in (seen, fresh)
        )
        assert own >= 0.0
        assert len(found.notes) == len(calibrated.notes) + 3
        gains.append(other)
    assert float(np.mean(gains)) > 0.2


def test_without_the_options_nothing_changes() -> None:
    """No data is read either."""
    graph, calibrated = residual(), Calibrated(NetworkFormats())
    assert refined(graph, calibrated, DEFAULT, []) == (graph, calibrated)
    with pytest.raises(InputError, match="no calibration data"):
        refined(graph, calibrated, BOTH, [])


def test_weights_rounded_together_leave_less_error_than_rounded_alone() -> None:
    """On correlated inputs; on the same grid; the order of columns comes back."""
    net = Building((3, 8, 8), seed=5)
    graph = net.finish(net.linear(net.conv(net.x, 8, "a"), 4, "fc"))
    x = torch.from_numpy(images(32, 4))
    for name, given in (("a", x), ("fc", torch.relu(torch.randn(64, 512) + 1.0))):
        node = graph.node(name)
        weights = torch.from_numpy(np.array(graph.constants[node.inputs[1]]))
        step = float(weights.abs().max()) / 20

        def rounds(values: torch.Tensor, step: float = step) -> torch.Tensor:
            return torch.round(values / step) * step

        found = compensated(node, weights, given, rounds, centred=False)
        assert torch.allclose(rounds(found), found, atol=1e-6)
        run = torch.nn.functional.conv2d if name == "a" else torch.nn.functional.linear
        more = {"padding": 1} if name == "a" else {}
        together, alone = (run(given, w - weights, **more).square().sum()
                           for w in (found, rounds(weights)))  # fmt: skip
        assert float(together) < 0.7 * float(alone)


def test_pruned_weights_stay_zero_when_rounded_together() -> None:
    """The others take up their errors, they do not come back themselves."""
    graph = residual()
    weights = torch.from_numpy(np.array(graph.constants["left.weight"]))
    weights[:, ::2] = 0
    found = compensated(graph.node("left"), weights, torch.rand(4, 8, 8, 8),
                        lambda values: torch.round(values * 8) / 8, centred=True)  # fmt: skip
    assert not found[:, ::2].any()
    assert found[:, 1::2].any()


def test_only_plain_layers_are_rounded_together() -> None:
    """Groups, transposed kernels and weights from elsewhere are left alone."""
    net = Building()
    x = net.conv(net.conv(net.x, 4, "grouped", groups=2), 4, "up", transposed=True)
    graph = net.finish(net.linear(net.conv(x, 4, "plain"), 3, "fc"))
    found = {n.name: can_compensate(graph, n) for n in graph.nodes if len(n.inputs) > 1}
    assert found == {"grouped": False, "up": False, "plain": True, "fc": True}


def test_layers_without_a_format_are_left_alone() -> None:
    """Float outputs have no positions to search."""
    graph, data = residual(), images(64, 1)
    calibrated = calibrate(graph, BOTH, [data])
    outputs = dict.fromkeys(calibrated.formats.outputs)
    bare = replace(calibrated, formats=replace(calibrated.formats, outputs=outputs))
    _, found = refined(graph, bare, BOTH, [data])
    assert set(found.formats.outputs.values()) == {None}


def test_layers_without_bias_and_without_corrections_are_kept_too() -> None:
    """Nothing is corrected then; the network still comes no further from the float network."""
    net = Building((3, 8, 8), seed=9)
    first = net.add(Op.RELU, [net.conv(net.x, 8, "a", bias=False)], "r")
    graph = net.finish(
        net.linear(net.add(Op.ADD, [first, net.constant("c", [[[0.5]]])], "s"), 3, "b")
    )
    setting, data = replace(BOTH, include_bias_corr=False), images(80, 1)
    calibrated = calibrate(graph, setting, [data])
    better, found = refined(graph, calibrated, setting, [data[:40], data[40:]])
    own = data[:64]
    assert noise_free(better, found, graph, own) >= noise_free(graph, calibrated, graph, own)
