"""The float simulation agrees with integer execution, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tests.vitis.calibration.networks import branches, images, powers
from torch import Tensor, nn

from nibblefit.engine import Engine
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import dequantize, quantize
from nibblefit.ir.graph import Graph
from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.quantize.pipeline import quantize_network
from nibblefit_vitis.settings import Device, Kind, NetworkSetting, RoundMode
from nibblefit_vitis.simulation import fake_quantized


class Swish(nn.Module):
    """Gates, a leaky rectifier, a bounded one, and an average over everything."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 12, 3, 2, 1)
        self.gate, self.last = nn.Hardswish(), nn.Conv2d(12, 6, 1)
        self.pool, self.leaky = nn.AvgPool2d(3, 2), nn.LeakyReLU(26 / 256)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of six channels."""
        x = self.gate(self.stem(x))
        x = nn.functional.relu6(self.wide(x))
        y: Tensor = self.pool(self.leaky(self.last(x)))
        return y


class Gated(nn.Module):
    """A hard sigmoid that multiplies what it was made from, and a scale per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = nn.Conv2d(3, 8, 3, 2, 1), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of eight channels."""
        x = self.stem(x)
        y: Tensor = torch.relu(x * self.gate(x))
        return y


def gated() -> Graph:
    """Return the network with seeded weights."""
    torch.manual_seed(6)
    return capture(Gated().eval(), (3, 16, 16))


def swish() -> Graph:
    """Return the network with seeded weights."""
    torch.manual_seed(5)
    return capture(Swish().eval(), (3, 16, 16))


def batched(values: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """Return the samples in batches of eight."""
    return [values[i : i + 8] for i in range(0, len(values), 8)]


@pytest.mark.parametrize("make", [branches, swish, gated])
@pytest.mark.parametrize("corrected", [False, True])
def test_every_rounded_tensor_equals_the_integer_network(
    make: Callable[[], Graph], corrected: bool
) -> None:
    """In float64 all sums are exact, so codes times steps are the simulation's values."""
    graph, samples = make(), images(16)
    setting = powers(include_bias_corr=corrected)
    found = quantize_network(graph, setting, lambda: batched(samples))
    simulation = fake_quantized(found.prepared, found.formats, setting, dtype=torch.float64)
    values = simulation.tensors(samples)
    integers = found.graph
    fmt = integers.tensors["x"].format
    codes = {"x": quantize(samples, fmt, Rounding.HALF_AWAY)}
    executed = Engine(integers).run(codes, keep="all").tensors
    compared = 0
    for name, one in found.formats.outputs.items():
        if one is None or name not in executed:
            continue
        wanted = dequantize(np.asarray(executed[name]), integers.tensors[name].format)
        np.testing.assert_array_equal(values[name].numpy(), wanted, err_msg=name)
        compared += 1
    assert compared >= 4


def test_a_graph_without_formats_is_the_float_network() -> None:
    """Nothing is rounded where nothing has a format."""
    graph, samples = branches(), images(3)
    setting = NetworkSetting(device=Device.CPU)
    (found,) = fake_quantized(graph, NetworkFormats(), setting)(samples)
    with torch.inference_mode():
        (wanted,) = Network(graph)(torch.from_numpy(samples))
    torch.testing.assert_close(found, wanted)


def test_simulating_leaves_the_given_batch_alone() -> None:
    """Roundings work in place, but never on what the caller owns."""
    graph, samples = branches(), images(2)
    before = samples.copy()
    formats = NetworkFormats(outputs={"x": FixPosition(8, 3)})
    fake_quantized(graph, formats, NetworkSetting())(samples)
    np.testing.assert_array_equal(samples, before)


def test_network_inputs_are_rounded_as_set_or_half_up_in_parity() -> None:
    """The original rounds inputs half up whatever the file says; the default mode obeys."""
    graph = branches()
    x = np.full((1, 3, 16, 16), -0.5, np.float32)
    formats = NetworkFormats(outputs={"x": FixPosition(8, 0)})
    values = [
        float(fake_quantized(graph, formats, NetworkSetting(parity=p)).tensors(x)["x"][0, 0, 0, 0])
        for p in (False, True)
    ]
    assert NetworkSetting().base[Kind.INPUT].round_mode is RoundMode.STD_ROUND
    assert values == [-1.0, 0.0]
