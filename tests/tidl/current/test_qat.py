"""Quantized training: the network simulates the integers, keeps zeros, follows its schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tidl.current.executing import executed
from tests.tidl.networks import classifier, samples

from nibblefit.models import Model
from nibblefit.training.parts import Progress
from nibblefit_tidl.current.modes import GIVEN_RANGES, Mode, mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.qat.network import QatNetwork
from nibblefit_tidl.current.qat.ranges import ranges_of, with_ranges
from nibblefit_tidl.current.qat.schedule import QatSchedule, ranges_epoch, statistics_epoch
from nibblefit_tidl.current.quantize import quantize_network
from nibblefit_tidl.devices import AM68A, TDA4VM


def _network(kind: int, zeros: float = 0.0, averaging: float = 0.1) -> QatNetwork:
    device = TDA4VM if kind == 1 else AM68A
    return QatNetwork(classifier(zeros=zeros), Mode(device, kind, 8, GIVEN_RANGES), averaging)


@pytest.mark.parametrize("kind", [1, 4])
def test_training_simulates_the_integer_network(kind: int) -> None:
    """Outputs equal those of the integer graph but for single steps at rounding ties."""
    network = _network(kind, averaging=1.0)
    data = samples(classifier(), 16)
    network.train()
    network.freezes_statistics = True
    network(torch.from_numpy(data))
    network.eval()
    options = TidlOptions(qat=True, quantization_scale_type=kind)
    mode = mode_of(TDA4VM if kind == 1 else AM68A, options)
    found = quantize_network(network.to_graph(), mode, options, [data], given=network.ranges())
    fmt = found.graph.tensors["x"].format
    codes = executed(found.graph, data)
    x = (codes["x"] - fmt.zero_point[0]) * fmt.scale.values()[0]
    with torch.no_grad():
        values = network.forward_all(torch.from_numpy(x.astype(np.float32)))
    for name in ("stem.norm.relu", "join.relu"):
        out = found.graph.tensors[name].format
        simulated = np.rint(values[name].numpy() / out.scale.values()[0]) + out.zero_point[0]
        difference = np.abs(simulated - codes[name])
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.05


@pytest.mark.parametrize("kind", [1, 4])
def test_gradients_flow_and_zeros_round_to_zero(kind: int) -> None:
    """Every weight has a gradient; weights of zero are zero in the simulation."""
    network = _network(kind, zeros=0.6).train()
    (out,) = network(torch.from_numpy(samples(classifier(), 4)))
    out.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all())
    node = next(n for n in network.graph.nodes if n.name == "a")
    weights = network.constant("a.weight")
    assert bool((network._weights(node, weights)[weights == 0] == 0).all())


def test_ranges_follow_the_data_until_they_are_frozen() -> None:
    """The first batch counts in full, later ones by their share; frozen ranges stay."""
    network = _network(4, averaging=0.25).train()
    data = torch.from_numpy(samples(classifier(), 4))
    network(data)
    first = network.ranges()["a.relu"][1]
    network(data * 2)
    second = network.ranges()["a.relu"][1]
    assert first < second < 2.5 * first
    network.freezes_ranges = True
    network(data * 8)
    assert network.ranges()["a.relu"][1] == second


def test_statistics_stop_with_the_schedule() -> None:
    """Batch norm no longer follows the data once its statistics are frozen."""
    network = _network(1).train()
    schedule = QatSchedule()
    data = torch.from_numpy(samples(classifier(), 4))
    before = network.constant("stem.norm.mean").clone()
    schedule.rewrite(network, Progress(0, 0, 10, 100))
    network(data)
    moved = network.constant("stem.norm.mean").clone()
    assert not torch.equal(before, moved)
    schedule.rewrite(network, Progress(4, 40, 10, 100))
    network(data)
    assert torch.equal(moved, network.constant("stem.norm.mean"))
    assert (network.freezes_statistics, network.freezes_ranges) == (True, False)
    schedule.rewrite(network, Progress(6, 60, 10, 100))
    assert network.freezes_ranges


def test_the_schedule_is_the_recommended_one() -> None:
    """Statistics at total / 2 − 1, ranges at total / 2 + 1; short trainings settle at the end."""
    assert (statistics_epoch(30), ranges_epoch(30)) == (14, 16)
    schedule = QatSchedule()
    assert not schedule.settled(Progress(15, 0, 30, 0))
    assert schedule.settled(Progress(16, 0, 30, 0))
    assert schedule.settled(Progress(0, 0, 1, 0))
    schedule.rewrite(torch.nn.Identity(), Progress(0, 0, 1, 0))


def test_ranges_stay_with_the_model() -> None:
    """They come back by name, and a model without has none."""
    model = Model(classifier())
    assert ranges_of(model) == {}
    kept = {"a": (-1.5, 2.0), "b": (0.0, 0.25)}
    assert ranges_of(with_ranges(model, kept)) == kept
    again = QatNetwork(classifier(), Mode(AM68A, 4, 8, GIVEN_RANGES), ranges={"b": (-1.0, 1.0)})
    assert again.ranges() == {"b": (-1.0, 1.0)}
