"""Average pools whose windows reach beyond the edge: integers equal the float simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.reference import run
from nibblefit.nn.capture import capture
from nibblefit_vitis.quantize.pipeline import quantize_network
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation import fake_quantized


@pytest.mark.parametrize("pool", [
    nn.AvgPool2d(3, 1, 1, count_include_pad=False), nn.AvgPool2d(3, 2, 1),
    nn.AvgPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(5, 2, 2, count_include_pad=False),
    nn.AvgPool2d(4, 2, 1, count_include_pad=False),
], ids=str)  # fmt: skip
def test_no_code_differs_from_the_simulation(pool: nn.Module) -> None:
    """The mean of the values inside, times what the kernel's reciprocal is off, rounded once."""
    torch.manual_seed(0)
    graph = capture(nn.Sequential(nn.Conv2d(2, 4, 1), pool).eval(), (2, 8, 8))
    samples = np.random.default_rng(0).normal(0, 1, (16, 2, 8, 8)).astype(np.float32)
    setting = NetworkSetting()
    found = quantize_network(graph, setting, lambda: [samples])
    (name,), (end,) = found.graph.inputs, found.graph.outputs
    rounding = Rounding(found.graph.metadata["input_rounding"])
    given = quantize(samples.astype(np.float64), found.graph.tensors[name].format, rounding)
    real = dequantize(run(found.graph, {name: given}).outputs[end], found.graph.tensors[end].format)
    simulated = fake_quantized(found.prepared, found.formats, setting, dtype=torch.float64)
    np.testing.assert_array_equal(real, simulated(samples.astype(np.float64))[0].numpy())
