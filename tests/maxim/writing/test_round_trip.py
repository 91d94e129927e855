"""Every planned network becomes files that independent code reads back to the same integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.maxim.memory.test_planner import residual
from tests.maxim.random_networks import RandomNetwork, plannable
from tests.maxim.vectors import NETS, micro, names_in, net

from nibblefit.engine import Engine
from nibblefit.ir import reference
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Artifact
from nibblefit_maxim.layers import Eltwise, HardwareLayer, Operator, Pool, PoolKind
from nibblefit_maxim.lift import lift
from nibblefit_maxim.parts import MAX78000, PARTS, Part, part_named
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.writing.folder import proven_plan, write_folder


def _written(graph: QuantizedGraph, part: Part, folder: Path) -> tuple[Artifact, QuantizedGraph]:
    shape = graph.tensors[graph.inputs[0]].shape
    artifact = write_folder(graph, part, folder, np.zeros(shape, dtype=np.int64))
    back = read_files(
        folder / "network.yaml", folder / "checkpoint-q.pth.tar", shape, part,
        flags=artifact.notes["flags"], host=artifact.notes["host"],
    )  # fmt: skip
    return artifact, back


def _same_integers(graph: QuantizedGraph, back: QuantizedGraph, seed: int = 0) -> None:
    shape = graph.tensors[graph.inputs[0]].shape
    x = np.random.default_rng(seed).integers(-128, 128, (2, *shape))
    one = reference.run(graph, {graph.inputs[0]: x}).outputs
    two = Engine(back).run({back.inputs[0]: x}).outputs
    assert len(one) == len(two)
    for expected, found in zip(one.values(), two.values(), strict=True):
        assert np.array_equal(expected, found)


def _round_trip(seeds: range, part: Part, folder: Path) -> None:
    for seed in seeds:
        graph = plannable(seed, part).graph()
        _same_integers(graph, _written(graph, part, folder)[1], seed)


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_random_networks_read_back_to_the_same_integers(part: Part, tmp_path: Path) -> None:
    """Two of every kind; inserted layers change nothing."""
    _round_trip(range(16), part, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_a_thousand_random_networks_read_back(part: Part, tmp_path: Path) -> None:
    """Zero wrong integers over a thousand networks per device."""
    _round_trip(range(16, 1016), part, tmp_path)


#: Reads two operands out of one hidden tensor, in an order that memory does not have.
UNPLANNED = {"multilayer-eltwise"}
MICRO = [name for name in names_in("micro", ".yaml") if name not in UNPLANNED]


def test_single_purpose_networks_are_planned_and_proven(shared: Path) -> None:
    """Every operator, geometry and width of the vendor's vectors, planned from the graph alone."""
    for name in MICRO:
        graph = micro(shared / "vendor" / "maxim" / "micro" / name).graph
        items = lift(graph)
        part = part_named(str(graph.metadata["part"]))
        plan = proven_plan(items, part, graph.inputs[0], graph.outputs)
        assert len(plan.layers) == len(items), name


@pytest.mark.parametrize("name", MICRO[::4])
def test_single_purpose_network_reads_back(shared: Path, name: str, tmp_path: Path) -> None:
    """Written anew, the same integers."""
    graph = micro(shared / "vendor" / "maxim" / "micro" / name).graph
    if not any(item.layer.has_weights for item in lift(graph)):
        pytest.skip("there is no checkpoint without weights")
    part = part_named(str(graph.metadata["part"]))
    _same_integers(graph, _written(graph, part, tmp_path)[1])


@pytest.mark.parametrize("name", [n for n in NETS if n.startswith(("cats", "fire", "auto"))])
def test_vendor_network_is_written_anew(shared: Path, name: str, tmp_path: Path) -> None:
    """Streaming, concatenation and linear chains keep every expected integer."""
    case = net(shared / "vendor" / "maxim" / "nets" / name)
    part = part_named(str(case.graph.metadata["part"]))
    artifact, back = _written(case.graph, part, tmp_path)
    codes = case.input[None].astype(np.int64)
    found = Engine(back).run({back.inputs[0]: codes}).outputs
    expected = case.expected[case.graph.outputs[0]]
    assert np.array_equal(next(iter(found.values())).reshape(expected.shape), expected)
    assert ("--fifo" in artifact.notes["command"]) == (name == "catsdogs-fifo")


def test_residual_network_has_every_key_in_the_file(tmp_path: Path) -> None:
    """Gaps, sources and element-wise keys are written out."""
    network = RandomNetwork(MAX78000, np.random.default_rng(0), (3, 32, 32))
    for need in residual():
        network.add(need.layer)
    network.finish()
    graph = network.graph()
    artifact, back = _written(graph, MAX78000, tmp_path)
    layers = yaml.safe_load((tmp_path / "network.yaml").read_text())["layers"]
    assert [layer["op"] for layer in layers] == [
        "conv2d", "conv2d", "passthrough", "conv2d", "conv2d",
    ]  # fmt: skip
    assert [layer.get("write_gap", 0) for layer in layers] == [0, 0, 1, 1, 0]
    assert (layers[4]["eltwise"], layers[4]["operands"]) == ("add", 2)
    assert layers[4]["in_sequences"] == [2, 3]
    assert artifact.notes["fit"]["layers_inserted"] == 1
    _same_integers(graph, back)


def test_moved_tensors_keep_every_integer(tmp_path: Path) -> None:
    """Unit convolutions that the planner inserts hand every code on, in 1-D, 2-D and features."""
    for shape in ((8, 6, 6), (8, 12)):
        network = RandomNetwork(MAX78000, np.random.default_rng(1), shape)
        one = network.conv(("x",), 16)
        two = network.conv((one,), 16)
        both = network.conv((one, two), 8)
        added = network.passthrough((one, two), eltwise=Eltwise.ADD)
        network.conv((both, both), 4)
        network.conv((added, one), 4, wide=True)
        graph = network.finish().graph()
        artifact, back = _written(graph, MAX78000, tmp_path)
        assert "op: linear" not in (tmp_path / "network.yaml").read_text()
        assert artifact.notes["fit"]["layers_inserted"] >= 2
        assert "_move" in (tmp_path / "network.yaml").read_text()
        _same_integers(graph, back)


def test_moved_features_keep_every_integer(tmp_path: Path) -> None:
    """Data without rows is moved by a linear layer."""
    network = RandomNetwork(MAX78000, np.random.default_rng(2), (8, 2, 2))
    features = network.add(
        HardwareLayer("l0", Operator.LINEAR, ("x",), (8, 2, 2), (12,), flatten=True)
    )
    network.add(HardwareLayer("l1", Operator.LINEAR, (features, features), (24,), (5,)))
    graph = network.finish().graph()
    _, back = _written(graph, MAX78000, tmp_path)
    assert "l0_move" in (tmp_path / "network.yaml").read_text()
    _same_integers(graph, back)


def test_rounded_averages_are_asked_for_and_read_back(tmp_path: Path) -> None:
    """The rounding is an option of the compiler, not a key of the file."""
    network = RandomNetwork(MAX78000, np.random.default_rng(3), (4, 8, 8))
    pool = Pool(PoolKind.AVG, (2, 2), (2, 2), (1, 1), is_rounded=True)
    network.add(
        HardwareLayer(
            "l0", Operator.CONV2D, ("x",), (4, 8, 8), (8, 4, 4), pool=pool, kernel=(3, 3),
            pad=(1, 1), dilation=(1, 1),
        )
    )  # fmt: skip
    graph = network.finish().graph()
    artifact, back = _written(graph, MAX78000, tmp_path)
    assert "--avg-pool-rounding" in artifact.notes["command"]
    _same_integers(graph, back)
