"""Whole networks: neighbours decide, pieces follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from tests.vitis.inspection.models import model, node, scalar, weights
from torch import nn

from nibblefit.nn.capture import capture
from nibblefit.nn.onnx_import import import_onnx
from nibblefit_vitis.devices.catalogue import dpu_named
from nibblefit_vitis.inspection.from_graph import network_of
from nibblefit_vitis.inspection.from_onnx import network_of_model, read_network
from nibblefit_vitis.inspection.inspection import Inspection, inspect_network
from nibblefit_vitis.inspection.layer import Network
from nibblefit_vitis.inspection.placing import Where


class Residual(nn.Module):
    """Two convolutions with a shortcut, as in ResNet-18."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        shortcut = [nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)]
        self.shortcut = nn.Sequential(*shortcut if before != after else [nn.Identity()])

    def forward(self, x: Any) -> Any:
        """Run."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + self.shortcut(x))


def resnet18() -> nn.Module:
    """Return ResNet-18 with its full widths."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64),
                               nn.ReLU(), nn.MaxPool2d(3, 2, 1)]  # fmt: skip
    before = 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(before, after, stride), Residual(after, after, 1)]
        before = after
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    return nn.Sequential(*layers, *head).eval()


@pytest.fixture(scope="module")
def network() -> Network:
    """Return ResNet-18 as layers."""
    return network_of(capture(resnet18(), (3, 64, 64), name="resnet18"))


def of_module(module: nn.Module, shape: tuple[int, ...], part: str = "kv260") -> Inspection:
    """Inspect a torch network."""
    return inspect_network(network_of(capture(module.eval(), shape, name="net")), dpu_named(part))


def of_nodes(nodes: list[Any], *initializers: Any, part: str = "kv260", **more: Any) -> Inspection:
    """Inspect an ONNX model made node by node."""
    network = network_of_model(model(nodes, list(initializers), **more), "net")
    return inspect_network(network, dpu_named(part))


def on_cpu(found: Inspection) -> dict[str, str]:
    """Return the layers on the CPU with their reasons."""
    return {one.layer.name: one.refusal.reason if one.refusal else ""
            for one in found.on(Where.CPU)}  # fmt: skip


@pytest.mark.parametrize("part", ["kv260", "zcu104", "DPUCZDX8G_ISA1_B1152", "DPUCVDX8G_ISA3_C32B3",
                                  "DPUCAHX8H_ISA2", "0x101000016010407"])  # fmt: skip
def test_resnet18_is_one_piece_on_the_dpu(network: Network, part: str) -> None:
    """User and one DPU subgraph; batch norms and rectifiers join convolutions and sums."""
    found = inspect_network(network, dpu_named(part))
    assert not on_cpu(found)
    assert [one.where for one in found.subgraphs] == [Where.USER, Where.DPU]
    joined = [one for one in found.placements if one.host]
    assert sum(one.layer.sort == "batch norm" for one in joined) == 20
    assert sum(one.layer.sort == "ReLU" for one in joined) == 17
    assert found.headline == f"all {len(found.placements)} layers run on the DPU, in 1 DPU subgraph"


@pytest.mark.parametrize("name", ["autoencoder", "resnet8", "ds_cnn", "mobilenet_v1_025_96"])
def test_trained_networks_leave_only_their_softmax(shared: Path, name: str) -> None:
    """By core's graph and by the file's nodes alike."""
    path = shared / "data" / "mlperf-tiny-onnx" / f"{name}.onnx"
    dpu = dpu_named("zcu102")
    both = [inspect_network(network, dpu)
            for network in (network_of(import_onnx(path)), read_network(path))]  # fmt: skip
    for found in both:
        assert [one.layer.sort for one in found.on(Where.CPU)] == (
            [] if name == "autoencoder" else ["softmax"]
        )
        assert len(found.pieces(Where.DPU)) == 1
    first, second = ([(one.where, bool(one.host)) for one in found.placements] for found in both)
    assert first == second


def test_functions_join_the_engine_before_them() -> None:
    """Behind a convolution; not if something else reads it, nor behind the network's input."""
    conv = node("Conv", "x w", "conv", pads=[1] * 4)
    w = weights("w", 8, 8, 3, 3)
    for word in ("Relu", "LeakyRelu", "HardSwish"):
        more = {"alpha": 26 / 256} if word == "LeakyRelu" else {}
        assert not on_cpu(of_nodes([conv, node(word, "conv", "act", **more)], w))
    both = [conv, node("Relu", "conv", "act"), node("Add", "conv act", "sum")]
    assert "has other readers" in on_cpu(of_nodes(both, w))["act"]
    assert "follows the network's input" in on_cpu(of_nodes([node("Relu", "x", "act")]))["act"]
    clip = [conv, node("Clip", "conv low high", "act")]
    for value, sort in ((6.0, "ReLU6"), (4.0, "clip")):
        found = of_nodes(clip, w, scalar("low", 0.0), scalar("high", value))
        assert found.placements[1].layer.sort == sort
        assert bool(on_cpu(found)) == (sort == "clip")


def test_behind_sums_there_is_relu_only() -> None:
    """LeakyReLU and hard-swish behind a sum are split off (issue 1245 of Vitis AI)."""
    start = [node("Conv", "x w", "conv"), node("Conv", "x w", "other"),
             node("Add", "conv other", "sum")]  # fmt: skip
    w = weights("w", 8, 8, 1, 1)
    assert not on_cpu(of_nodes([*start, node("Relu", "sum", "act")], w))
    for word in ("LeakyRelu", "HardSwish"):
        more = {"alpha": 26 / 256} if word == "LeakyRelu" else {}
        reasons = on_cpu(of_nodes([*start, node(word, "sum", "act", **more)], w))
        assert "element-wise engine applies relu only" in reasons["act"]


def test_slopes_and_hard_sigmoids_must_be_the_devices() -> None:
    """26/256, with what rounds to it said; min(max(x + 3, 0), 6) / 6."""
    conv, w = node("Conv", "x w", "conv"), weights("w", 8, 8, 1, 1)
    for slope, fits in ((26 / 256, True), (0.1, True), (0.01, False), (0.2, False)):
        found = of_nodes([conv, node("LeakyRelu", "conv", "act", alpha=slope)], w)
        assert (not on_cpu(found)) == fits
        assert bool(found.placements[1].notes) == (fits and slope != 26 / 256)
    for alpha, fits in ((1 / 6, True), (0.2, False)):
        found = of_nodes([conv, node("HardSigmoid", "conv", "act", alpha=alpha)], w)
        assert (not on_cpu(found)) == fits


def test_a_reshape_needs_a_dpu_producer_and_keeps_the_batch() -> None:
    """Behind a CPU layer it stays there; reordered images are said unless a dense layer reads."""
    w, v = weights("w", 8, 8, 1, 1), weights("v", 10, 2048)
    conv, flat = node("Conv", "x w", "conv"), node("Flatten", "conv", "flat")
    dense = node("Gemm", "flat v", "dense", transB=1)
    assert not of_nodes([conv, flat, dense], w, v).placements[1].notes
    assert "permute is inserted" in of_nodes([conv, flat], w).placements[1].notes[0]
    sigmoid = [node("Sigmoid", "x", "sigmoid"), node("Flatten", "sigmoid", "flat"), dense]
    assert set(on_cpu(of_nodes(sigmoid, v))) == {"sigmoid", "flat"}
    shape = numpy_helper.from_array(np.array([2, -1]), "shape")
    reshape = node("Reshape", "conv shape", "reshape")
    assert on_cpu(of_nodes([conv, reshape], w, shape)) == {"reshape": "the batch axis changes"}


def test_a_concatenation_follows_its_inputs() -> None:
    """All on the CPU: there too; one of them: channels of images only."""
    w = weights("w", 8, 8, 1, 1)
    conv = [node("Conv", "x w", "conv"), node("Sigmoid", "conv", "a"), node("Tanh", "conv", "b")]
    cpu = of_nodes([*conv, node("Concat", "a b", "join", axis=1)], w)
    assert on_cpu(cpu)["join"] == "none of its inputs is on the DPU"
    assert "join" not in on_cpu(of_nodes([*conv, node("Concat", "a conv", "join", axis=1)], w))
    rows = of_nodes([*conv, node("Concat", "a conv", "join", axis=2)], w)
    assert "only channels of images" in on_cpu(rows)["join"]


def test_pieces_are_counted_around_cpu_layers() -> None:
    """A branch past a CPU layer stays in the first piece; behind the meeting a new one starts."""
    w = weights("w", 8, 8, 1, 1)
    found = of_nodes([
        node("Conv", "x w", "one"), node("Sigmoid", "one", "gate"), node("Conv", "one w", "two"),
        node("Mul", "two gate", "meet"), node("Conv", "meet w", "three"),
    ], w)  # fmt: skip
    pieces = [(one.where.value, one.layers) for one in found.subgraphs]
    assert pieces == [("user", ("x",)), ("DPU", ("one", "two")), ("CPU", ("gate",)),
                      ("DPU", ("meet", "three"))]  # fmt: skip
    assert found.headline == "4 layers run on the DPU, 1 on the CPU; 2 DPU subgraphs"


def test_small_things_around_layers() -> None:
    """Biases of matrix products fold, identities vanish, means over the image are pools."""
    product = [node("MatMul", "x v", "product"), node("Add", "product b", "bias"),
               node("Relu", "bias", "act")]  # fmt: skip
    v, b = weights("v", 8, 4), weights("b", 4)
    found = of_nodes(product, v, b, shape=(1, 8))
    assert not on_cpu(found)
    assert [one.host for one in found.placements] == ["", "product", "product"]
    start = of_nodes([node("Identity", "x", "same"), node("Relu", "same", "act")])
    assert [one.where for one in start.placements] == [Where.USER, Where.CPU]
    assert start.subgraphs[0].layers == ("x", "same")
    conv, w = node("Conv", "x w", "conv"), weights("w", 8, 8, 1, 1)
    mean = node("ReduceMean", "conv", "mean", axes=[2, 3])
    assert not on_cpu(of_nodes([conv, mean], w))
    assert "mean" in on_cpu(of_nodes([conv, node("ReduceMean", "conv", "mean", axes=[1])], w))
    lone = of_nodes([conv, node("Sigmoid", "conv", "s"), node("Identity", "s", "same")], w)
    assert [one.where for one in lone.placements] == [Where.DPU, Where.CPU, Where.CPU]


def test_files_with_rounding_are_inspected_as_without(shared: Path) -> None:
    """Quantize and dequantize nodes vanish, on data and on weights, in the original's own file."""
    path = shared / "vendor" / "vitis" / "onnx_export_small" / "SmallCNN_int.onnx"
    found = inspect_network(read_network(path), dpu_named("kv260"))
    assert not on_cpu(found)
    assert not found.network.notes
    assert len(found.pieces(Where.DPU)) == 1
    kept = [one for one in found.placements if one.layer.sort != "nothing"]
    assert sum(one.layer.sort == "convolution" for one in kept) == 5


@pytest.mark.parametrize(
    ("value", "last", "fits"),
    [(3.0, ("Mul", 1 / 6), True), (3.0, ("Mul", 2731 / 16384), True), (3.0, ("Div", 6.0), True),
     (2.0, ("Mul", 1 / 6), False), (3.0, ("Mul", 0.2), False)],
)  # fmt: skip
def test_hard_sigmoids_are_recognized_in_parts(
    value: float, last: tuple[str, float], fits: bool
) -> None:
    """X + 3, clipped to 0 and 6, by 6: the form of older exporters, and of hard-swish in them."""
    nodes = [node("Conv", "x w", "conv"), node("Add", "conv three", "sum"),
             node("Clip", "sum low six", "clip"), node(last[0], "clip by", "gate"),
             node("Mul", "conv gate", "swish")]  # fmt: skip
    constants = [weights("w", 8, 8, 1, 1), scalar("three", value), scalar("low", 0.0),
                 scalar("six", 6.0), scalar("by", last[1])]  # fmt: skip
    found = of_nodes(nodes, *constants)
    assert (not on_cpu(found)) == fits
    if fits:
        assert [one.host for one in found.placements] == ["", "", "sum", "sum", ""]
