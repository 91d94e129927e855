"""Whole networks: integers equal the float simulation, all executions, and the files read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.vitis.quantize.building import executed
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.reference import run
from nibblefit.nn.capture import capture
from nibblefit_vitis.configuration.presets import preset
from nibblefit_vitis.configuration.resolve import resolve
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.quantize.pipeline import Quantized, quantize_network
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation import fake_quantized
from nibblefit_vitis.writing.files import read_network, write_all

SHAPE = (3, 24, 24)
SAMPLES = np.random.default_rng(0).normal(0, 1, (16, *SHAPE)).astype(np.float32)
MODES = [("dpu", False), ("dpu", True), ("uif", False), ("uif", True)]


class Everything(nn.Module):
    """Every kind of layer that the DPU has, gates and branches included."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.depthwise, self.point = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 12, 1)
        self.up, self.join = nn.ConvTranspose2d(12, 6, 4, stride=2, padding=1), nn.BatchNorm2d(18)
        self.gate, self.wide = nn.Conv2d(18, 18, 1), nn.Conv2d(18, 12, 3, padding=2, dilation=2)
        self.dense = nn.Linear(12, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores."""
        x = functional.hardswish(self.norm(self.stem(x)))
        x = functional.leaky_relu(self.point(functional.relu6(self.depthwise(x))), 0.1)
        copied = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = self.join(torch.cat([functional.relu(self.up(x)), copied], 1))
        x = x * functional.hardsigmoid(self.gate(functional.adaptive_avg_pool2d(x, 1)))
        x = self.wide(functional.max_pool2d(functional.pad(x, (1, 1, 1, 1)), 3, 2))
        left, right = torch.split(functional.avg_pool2d(x, 3, stride=2), 6, 1)
        x = torch.cat([left + right, functional.relu(right)], 1)
        return self.dense(x.mean((2, 3)))


@pytest.fixture(scope="module")
def everything() -> Graph:
    """Return the network, norms with statistics of their own."""
    torch.manual_seed(3)
    network = Everything()
    network(torch.from_numpy(SAMPLES))
    return capture(network.eval(), (SHAPE,), name="everything")


@pytest.fixture(scope="module", params=MODES, ids=lambda mode: f"{mode[0]}{'-parity' * mode[1]}")
def result(everything: Graph, request: pytest.FixtureRequest) -> tuple[Quantized, NetworkSetting]:
    """Return the integers in one mode."""
    name, parity = request.param
    setting, _ = resolve(preset(name, parity=parity), everything, parity=parity)
    return quantize_network(everything, setting, lambda: [SAMPLES[:8], SAMPLES[8:]]), setting


def codes_of(result: Quantized) -> IntArray:
    """Return the samples as codes of the graph's input."""
    (name,) = result.graph.inputs
    rounding = Rounding(result.graph.metadata["input_rounding"])
    return quantize(SAMPLES.astype(np.float64), result.graph.tensors[name].format, rounding)


def test_every_tensor_equals_the_float_simulation(result: tuple[Quantized, NetworkSetting]) -> None:
    """In float64 the simulation is exact, and its rounded tensors are the integers."""
    found, setting = result
    (name,) = found.graph.inputs
    integers = run(found.graph, {name: codes_of(found)}).tensors
    simulated = fake_quantized(found.prepared, found.formats, setting, dtype=torch.float64)
    tensors = simulated.tensors(SAMPLES.astype(np.float64))
    compared = 0
    for tensor, fmt in found.formats.outputs.items():
        if fmt is not None:
            real = dequantize(integers[tensor], found.graph.tensors[tensor].format)
            np.testing.assert_array_equal(real, tensors[tensor].numpy(), err_msg=tensor)
            compared += 1
    assert compared >= 15


def test_all_executions_agree(result: tuple[Quantized, NetworkSetting]) -> None:
    """Judge, engine and twin, on samples and on the extremes."""
    codes = codes_of(result[0])
    executed(result[0].graph, codes)
    executed(result[0].graph, np.where(codes > 0, 127, -128))


def test_the_files_state_the_same_integers(
    result: tuple[Quantized, NetworkSetting], tmp_path: Path
) -> None:
    """The xmodel, read by independent code, lowers to a graph with the same outputs."""
    found, setting = result
    written = write_all(tmp_path, found.prepared, found.formats, setting, "kv260")
    assert not written.left_out
    network = read_network(tmp_path)
    assert network is not None
    back = lower_network(network.graph, network.formats, NetworkSetting())
    codes = codes_of(found)
    (ours,), (theirs,) = found.graph.outputs, back.outputs
    expected = run(found.graph, {found.graph.inputs[0]: codes}).outputs[ours]
    np.testing.assert_array_equal(run(back, {back.inputs[0]: codes}).outputs[theirs], expected)
