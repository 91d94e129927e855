"""Closed-form bias correction: mean errors vanish, and batches do not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.vitis.preparation.building import Building

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.execute import EXECUTE
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.preparation.bias import correct_biases
from nibblefit_vitis.settings import DPU_DEFAULT, NetworkSetting, Statistic
from nibblefit_vitis.simulation import fake_quantized

SETTING = NetworkSetting(
    base={k: replace(v, calib_statistic_method=Statistic.POOLED) for k, v in DPU_DEFAULT.items()},
    include_bias_corr=False,
)


def _case() -> tuple[Graph, NetworkFormats, np.ndarray]:
    net = Building((3, 8, 8), seed=11)
    x = net.add(Op.RELU, [net.conv(net.x, 8, "a", spread=2.0)], "r")
    x = net.conv(x, 8, "up", groups=2, transposed=True, spread=2.0)
    x = net.conv(net.conv(x, 8, "dw", groups=8), 4, "bare", bias=False)
    graph = net.finish(net.linear(x, 5, "fc"))
    data = np.random.default_rng(3).uniform(0.2, 1.0, (24, 3, 8, 8)).astype(np.float32)
    return graph, calibrate(graph, SETTING, [data]).formats, data


def test_the_mean_error_of_every_channel_is_what_is_corrected() -> None:
    """Measured sample by sample with rounded and float weights on the same rounded inputs."""
    graph, formats, data = _case()
    found = correct_biases(graph, formats, SETTING, [data[:10], data[10:]])
    assert set(found) == {"a.bias", "up.bias", "dw.bias", "fc.bias"}
    tensors = fake_quantized(graph, formats, SETTING, dtype=torch.float64).tensors(data)
    for name in ("a", "up", "dw", "fc"):
        node = graph.node(name)
        weights = graph.constants[node.inputs[1]].astype(np.float64)
        step = 2.0 ** -formats.params[node.inputs[1]].position
        codes = np.sign(weights) * np.floor(np.abs(weights) / step + 0.5)
        rounded = np.clip(codes, -128, 127) * step
        x = tensors[node.inputs[0]]
        both = [EXECUTE[node.op](node.attributes, [x, torch.from_numpy(w)])
                for w in (rounded, weights)]  # fmt: skip
        error = (both[0] - both[1]).transpose(0, 1).flatten(1).mean(1)
        assert found[f"{name}.bias"] == pytest.approx(error.numpy(), abs=1e-6)


def test_batches_do_not_matter() -> None:
    """One batch, single samples or a ragged end: the same corrections."""
    graph, formats, data = _case()
    whole = correct_biases(graph, formats, SETTING, [data])
    for size in (1, 7):
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        again = correct_biases(graph, formats, SETTING, parts)
        for name, values in whole.items():
            assert again[name] == pytest.approx(values, abs=1e-6)


def test_corrected_outputs_are_nearer_to_the_float_network() -> None:
    """The squared error at the output falls."""
    graph, formats, data = _case()
    wanted = fake_quantized(graph, NetworkFormats(), SETTING)(data)[0]
    found = correct_biases(graph, formats, SETTING, [data])
    errors = [
        float((fake_quantized(graph, formats, SETTING, corrections=c)(data)[0] - wanted)
              .square().sum())
        for c in ({}, found)
    ]  # fmt: skip
    assert errors[1] < 0.9 * errors[0]


def test_no_data_is_refused() -> None:
    """The error names what to set."""
    graph, formats, _ = _case()
    with pytest.raises(InputError, match="no calibration data"):
        correct_biases(graph, formats, SETTING, [])
