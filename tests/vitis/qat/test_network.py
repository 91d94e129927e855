"""The network that trains with trained thresholds: exact, trainable, freezable."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.vitis.preparation.building import Building, case_small

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.models import Model
from nibblefit.nn.network import Network
from nibblefit.training.parts import Progress
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.qat.keeping import formats_of, thresholds_of, with_thresholds
from nibblefit_vitis.qat.network import THRESHOLDS, QatNetwork
from nibblefit_vitis.qat.places import folded_graph
from nibblefit_vitis.qat.schedule import QatSchedule, statistics_epoch, thresholds_epoch
from nibblefit_vitis.qat.simulation import simulation_of
from nibblefit_vitis.quantize.pipeline import finished
from nibblefit_vitis.settings import DPU_DEFAULT, Device, Kind, NetworkSetting
from nibblefit_vitis.simulation import fake_quantized

SETTING = NetworkSetting()


def mixed(behind: Op = Op.LEAKY_RELU) -> Graph:
    """Return norms behind convolutions, a concatenation, a dense layer; a sum; pools; gates."""
    net = Building((3, 8, 8), seed=2)
    stem = net.add(Op.RELU, [net.norm(net.conv(net.x, 8, "stem", bias=False), "n1")], "r1")
    both = net.add(Op.CONCAT, [net.conv(stem, 4, "a"), net.conv(stem, 4, "b")], "cat", axis=1)
    more = {"slope": 0.1} if behind is Op.LEAKY_RELU else {}
    cat = net.add(behind, [net.norm(both, "n2")], "act", **more)
    up = net.norm(net.conv(cat, 8, "up", transposed=True, groups=2), "n3")
    sums = net.add(Op.ADD, [net.relu6(up, "r6"), stem], "sum")
    lone = net.norm(net.pool(sums, "pool"), "n4")
    gate = net.add(Op.HARD_SWISH, [net.pool(lone, "avg", Op.AVG_POOL)], "swish")
    mean = net.add(Op.GLOBAL_AVG_POOL, [gate], "mean")
    return net.finish(net.norm(net.linear(mean, 5, "fc"), "n5"))


def images(graph: Graph, count: int = 8, seed: int = 0) -> np.ndarray:
    """Return random inputs."""
    shape = (count, *graph.shapes[graph.inputs[0]])
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def trained(graph: Graph, setting: NetworkSetting = SETTING, steps: int = 4) -> QatNetwork:
    """Return a network after some steps of Adam."""
    network = QatNetwork(graph, setting).train()
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(steps):
        optimizer.zero_grad()
        (out,) = network(torch.from_numpy(images(graph, seed=step)))
        (out - 1.0).square().mean().backward()
        optimizer.step()
    return network


def assert_exact(network: QatNetwork, setting: NetworkSetting) -> None:
    """Hold training's simulation and the judge together, code by code."""
    graph = network.to_graph()
    model = with_thresholds(Model(graph), network.thresholds())
    formats = formats_of(model, setting)
    assert formats is not None
    integers = finished(folded_graph(graph, setting), formats, setting).graph
    (name,) = integers.inputs
    codes = quantize(images(graph, 6, 9), integers.tensors[name].format, Rounding.HALF_UP)
    judged = reference.run(integers, {name: codes}).tensors
    simulation = simulation_of(model, integers, setting)
    assert simulation is not None
    found = simulation(torch.from_numpy(np.ascontiguousarray(codes)))
    # Sums that an activation of the same layer reads are no codes.
    missing = [key for key in judged if key not in found]
    assert all(integers.tensors[key].format.bits == 32 for key in missing)
    for key in judged.keys() - set(missing):
        assert np.array_equal(found[key].numpy(), judged[key]), key


@pytest.mark.parametrize("device", [Device.DPU, Device.CPU])
@pytest.mark.parametrize("parity", [False, True])
def test_training_simulates_every_integer(parity: bool, device: Device) -> None:
    """The quantized graph of a trained network gives the simulation's codes, all of them.

    With parity a CPU too has the DPU's constants.
    """
    setting = replace(SETTING, parity=parity, device=device)
    assert_exact(trained(mixed(), setting), setting)


def test_concatenations_of_concatenations_are_simulated_too() -> None:
    """All branches take the outermost one's format, activations behind it included."""
    net = Building((3, 8, 8), seed=12)
    inner = net.add(Op.CONCAT, [net.conv(net.x, 2, "a"), net.conv(net.x, 3, "b")], "in", axis=1)
    right = net.add(Op.RELU, [net.conv(net.x, 3, "c")], "r")
    outer = net.add(Op.CONCAT, [inner, right], "out", axis=1)
    graph = net.finish(net.conv(net.add(Op.LEAKY_RELU, [outer], "act", slope=0.1), 4, "d"))
    assert_exact(trained(graph), SETTING)


def test_training_simulates_the_vendors_network(shared: Path) -> None:
    """Likewise for the small network with its trained weights."""
    assert_exact(trained(case_small(shared), steps=1), SETTING)


def test_evaluation_is_the_rounded_folded_network() -> None:
    """Float outputs equal those of the calibrator's simulation with the same formats."""
    network = trained(mixed(Op.RELU)).eval()
    x = torch.from_numpy(images(mixed(Op.RELU)))
    folded = folded_graph(network.to_graph(), SETTING)
    rounded = fake_quantized(folded, network.formats(), SETTING).tensors(x)
    with torch.no_grad():
        found = network.forward_all(x)
    for name in ("r1", "sum", "pool", "n4", "swish", "n5"):
        assert torch.allclose(found[name], rounded[name], atol=1e-5), name


def test_every_parameter_and_threshold_has_a_gradient() -> None:
    """Straight through all roundings, and back to the thresholds."""
    network = QatNetwork(mixed(), SETTING).train()
    (out,) = network(torch.from_numpy(images(mixed())))
    out.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    assert float(network.get_parameter(THRESHOLDS).grad.abs().max()) > 0


@pytest.mark.parametrize("octaves", [-2.0, 2.0])
def test_training_moves_thresholds_and_lowers_the_loss(octaves: float) -> None:
    """Thresholds that start four times too small or too large come back by their gradient."""
    graph = mixed()
    x = torch.from_numpy(images(graph, 16))
    with torch.no_grad():
        wanted = Network(graph).eval()(x)[0]
    start = QatNetwork(graph, SETTING).eval()
    with torch.no_grad():
        start(x)
    far = {name: value + octaves for name, value in start.thresholds().items()}
    network = QatNetwork(graph, SETTING, far).train()
    network.freezes_statistics = True
    optimizer = torch.optim.Adam([network.get_parameter(THRESHOLDS)], 0.1)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (network(x)[0] - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-5:]) < 0.2 * losses[0]


def test_training_repairs_what_few_bits_broke() -> None:
    """From calibrated formats with 4-bit weights, the error falls to less than half."""
    graph = mixed(Op.RELU)
    few = {**DPU_DEFAULT, Kind.WEIGHTS: replace(DPU_DEFAULT[Kind.WEIGHTS], bit_width=4)}
    setting = NetworkSetting(base=few, include_cle=False, include_bias_corr=False)
    x = torch.from_numpy(images(graph, 64))
    formats = calibrate(folded_graph(graph, setting), setting, [x.numpy()]).formats
    with torch.no_grad():
        wanted = Network(graph).eval()(x)[0]
    network = QatNetwork(graph, setting, formats=formats).train()
    network.freezes_statistics = True
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 100)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (network(x)[0] - wanted).square().mean()
        loss.backward()
        optimizer.step()
        decay.step()
        losses.append(float(loss.detach()))
    assert float(np.mean(losses[-10:])) < 0.5 * losses[0]


def test_frozen_thresholds_and_statistics_stay() -> None:
    """After freezing, neither gets a gradient or an update."""
    network = trained(mixed())
    network.freezes_statistics = network.freezes_thresholds = True
    mean = network.constant("n1.mean").clone()
    network.zero_grad()
    network(torch.from_numpy(images(mixed(), seed=5)))[0].sum().backward()
    assert network.get_parameter(THRESHOLDS).grad is None
    assert torch.equal(network.constant("n1.mean"), mean)
    assert network.constant("stem.weight").grad is not None


def test_quantization_can_be_switched_off() -> None:
    """Then the float network runs."""
    network = trained(mixed()).eval()
    network.quantizes = False
    x = torch.from_numpy(images(mixed()))
    with torch.no_grad():
        assert torch.equal(network(x)[0], Network(network.to_graph()).eval()(x)[0])


def test_calibrated_formats_are_the_start() -> None:
    """Positions of a calibration come back before any training."""
    graph = mixed()
    folded = folded_graph(graph, SETTING)
    formats = calibrate(folded, SETTING, [images(graph)]).formats
    network = QatNetwork(graph, SETTING, formats=formats)
    assert len(network.thresholds()) == len(formats.params) + len(
        [f for f in formats.outputs.values() if f is not None])  # fmt: skip
    with torch.no_grad():
        network.eval()(torch.from_numpy(images(graph)))
    again = QatNetwork(network.to_graph(), SETTING, network.thresholds())
    assert again.formats() == network.formats()


def test_one_convolution_may_have_several_batch_norms() -> None:
    """Norms in a row fold one after the other, in training's simulation too."""
    net = Building((3, 8, 8), seed=3)
    graph = net.finish(net.norm(net.norm(net.conv(net.x, 4, "a"), "n1"), "n2"))
    assert_exact(trained(graph), SETTING)


def test_models_without_thresholds_have_no_simulation(shared: Path) -> None:
    """Nothing is made up for a network that was only calibrated."""
    graph = case_small(shared)
    folded = folded_graph(graph, SETTING)
    formats = calibrate(folded, SETTING, [images(graph)]).formats
    integers = finished(folded, formats, SETTING).graph
    assert simulation_of(Model(graph), integers, SETTING) is None


@pytest.mark.parametrize("kind", [Kind.WEIGHTS, Kind.ACTIVATION])
def test_settings_that_thresholds_cannot_say_are_refused(kind: Kind) -> None:
    """The message names layer, tensor and remedy."""
    change = {"per_channel": True} if kind is Kind.WEIGHTS else {"signed": False}
    base = {**DPU_DEFAULT, kind: replace(DPU_DEFAULT[kind], **change)}
    with pytest.raises(UnsupportedError, match=f"layer '.*', {kind.value}: one signed power-of"):
        QatNetwork(mixed(), replace(SETTING, base=base))


def test_networks_travel_to_other_processes() -> None:
    """Training in several processes sends them by value, settings and formats included."""
    layers = {"stem": {**DPU_DEFAULT, Kind.BIAS: replace(DPU_DEFAULT[Kind.BIAS], bit_width=16)}}
    setting = replace(SETTING, layers=layers)
    network = trained(mixed(), setting, steps=1).eval()
    again = pickle.loads(pickle.dumps(network))
    x = torch.from_numpy(images(mixed()))
    with torch.no_grad():
        assert torch.equal(again(x)[0], network(x)[0])
    assert again.formats() == network.formats()
    assert pickle.loads(pickle.dumps(setting)) == setting


def test_thresholds_stay_with_the_model() -> None:
    """They come back by name; a model without has neither formats nor a simulation."""
    model = Model(mixed())
    assert thresholds_of(model) == {}
    assert formats_of(model, SETTING) is None
    kept = {"a": -1.5, "b": 2.25}
    assert thresholds_of(with_thresholds(model, kept)) == kept


def test_schedule_freezes_statistics_then_thresholds() -> None:
    """Half way and at three quarters; thresholds are a group without decay."""
    assert (statistics_epoch(20), thresholds_epoch(20)) == (10, 15)
    network, schedule = QatNetwork(mixed(), SETTING), QatSchedule(0.1)
    (group,) = schedule.parameter_groups(network)
    assert (group.patterns, group.learning_rate_factor, group.weight_decay) == (
        (THRESHOLDS,), 0.1, 0.0,
    )  # fmt: skip
    seen = []
    for epoch in (0, 10, 15):
        schedule.rewrite(network, Progress(epoch, 0, 20, 0))
        seen.append((network.freezes_statistics, network.freezes_thresholds))
    assert seen == [(False, False), (True, False), (True, True)]
    assert not schedule.settled(Progress(14, 0, 20, 0))
    assert schedule.settled(Progress(15, 0, 20, 0))
    assert schedule.settled(Progress(0, 0, 1, 0))
    assert set(schedule.figures(network)) == {"mean_log2_threshold"}
    other = torch.nn.Identity()
    schedule.rewrite(other, Progress(0, 0, 1, 0))
    assert (schedule.parameter_groups(other), schedule.figures(other)) == ((), {})
