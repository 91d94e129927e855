"""Fast finetune: better on its samples, never worse, formats untouched, resumable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.vitis.preparation.building import Building

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_vitis.alignment import align
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.finetune import FinetuneSettings, fast_finetune, layer_count
from nibblefit_vitis.finetune import finetune as module
from nibblefit_vitis.finetune.cutting import alive, by_group, part
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.grouping import groups
from nibblefit_vitis.settings import (
    DPU_DEFAULT,
    Device,
    Kind,
    Method,
    NetworkSetting,
    ScaleType,
)
from nibblefit_vitis.simulation import fake_quantized

SETTING = NetworkSetting(include_bias_corr=False)
SHORT = FinetuneSettings(epochs=6)


class Bar:
    """Collects what a progress bar is told."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def advance(self, amount: int = 1, **figures: float) -> None:
        """Note the loss of one layer."""
        assert amount == 1
        self.losses.append(figures["loss"])

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


def network() -> Graph:
    """Return branches with activations, a concatenation, a sum, a classifier."""
    net = Building((3, 8, 8), seed=8)
    stem = net.relu6(net.conv(net.x, 8, "stem", spread=2.0), "r6")
    left = net.add(Op.RELU, [net.conv(stem, 8, "left", groups=8)], "lr")
    right = net.conv(stem, 8, "right")
    both = net.add(Op.CONCAT, [net.conv(left, 4, "a"), net.conv(right, 4, "b")], "cat", axis=1)
    sums = net.add(Op.ADD, [both, left], "sum")
    return net.finish(net.linear(net.pool(sums, "avg", Op.AVG_POOL), 5, "fc"))


def case() -> tuple[Graph, NetworkFormats, list[np.ndarray]]:
    """Return network, aligned formats, batches."""
    data = np.random.default_rng(4).normal(size=(24, 3, 8, 8)).astype(np.float32)
    batches = [data[:8], data[8:16], data[16:]]
    graph = network()
    formats, _ = align(graph, calibrate(graph, SETTING, batches).formats, SETTING)
    return graph, formats, batches


def error(graph: Graph, formats: NetworkFormats, data: np.ndarray) -> float:
    """Return the root mean square error of the rounded network."""
    plain = fake_quantized(network(), NetworkFormats(), replace(SETTING, device=Device.CPU))
    found = fake_quantized(graph, formats, SETTING)
    return float((found(data)[0] - plain(data)[0]).square().mean().sqrt())


def test_the_network_comes_nearer_to_the_float_network() -> None:
    """On its samples by the loss that it reports, and on fresh ones; the loss never rises."""
    graph, formats, batches = case()
    bar = Bar()
    tuned, (note,) = fast_finetune(graph, formats, SETTING, iter(batches), settings=SHORT, bar=bar)
    before, after = (error(g, formats, np.concatenate(batches)) for g in (graph, tuned))
    assert after < 0.9 * before
    assert len(bar.losses) == layer_count(graph) == 6
    assert bar.losses == sorted(bar.losses, reverse=True)
    assert bar.losses[-1] == pytest.approx(after, rel=1e-4)
    assert f"{before:.4g} → {after:.4g}" in note
    fresh = np.random.default_rng(5).normal(size=(64, 3, 8, 8)).astype(np.float32)
    assert error(tuned, formats, fresh) < error(graph, formats, fresh)


def test_corrected_biases_are_judged_by_the_network_as_it_was() -> None:
    """With a reference the target is the float network, not the one with shifted biases."""
    graph, formats, batches = case()
    shifted = graph.with_constants({"fc.bias": graph.constants["fc.bias"] + np.float32(0.5)})
    tuned, _ = fast_finetune(shifted, formats, SETTING, batches, settings=SHORT, reference=graph)
    data = np.concatenate(batches)
    assert error(tuned, formats, data) < 0.9 * error(shifted, formats, data)
    plain, _ = fast_finetune(shifted, formats, SETTING, batches, settings=SHORT)
    assert error(tuned, formats, data) < error(plain, formats, data)


def test_only_weights_and_biases_change() -> None:
    """Nodes, their order and every other constant stay."""
    graph, formats, batches = case()
    tuned, _ = fast_finetune(graph, formats, SETTING, batches[:1], settings=SHORT)
    assert tuned.nodes == graph.nodes
    assert tuned.constants.keys() == graph.constants.keys()
    changed = [n for n, v in tuned.constants.items() if not np.array_equal(v, graph.constants[n])]
    assert changed
    assert all(v.dtype == np.float32 for v in tuned.constants.values())


def test_pruned_weights_stay_zero() -> None:
    """What pruning removed does not come back."""
    graph, formats, batches = case()
    weights = graph.constants["right.weight"] * (np.indices((8, 8, 3, 3)).sum(0) % 2)
    graph = graph.with_constants({"right.weight": weights.astype(np.float32)})
    tuned, _ = fast_finetune(graph, formats, SETTING, batches, settings=SHORT)
    assert not np.array_equal(tuned.constants["right.weight"], weights)
    assert not tuned.constants["right.weight"][weights == 0].any()


def test_no_epochs_change_nothing() -> None:
    """And the note says so."""
    graph, formats, batches = case()
    tuned, (note,) = fast_finetune(
        graph, formats, SETTING, batches, settings=FinetuneSettings(epochs=0)
    )
    assert all(np.array_equal(v, graph.constants[n]) for n, v in tuned.constants.items())
    assert "changed 0 of 6 layers" in note


def test_a_stopped_run_goes_on_behind_its_finished_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is that of an uninterrupted run; finished layers are not trained again."""
    graph, formats, batches = case()
    whole, _ = fast_finetune(graph, formats, SETTING, batches, settings=SHORT)
    train, seen = module.train_layer, []

    def stopping(task: object, *rest: object) -> object:
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(task)
        return train(task, *rest)

    monkeypatch.setattr(module, "train_layer", stopping)
    with pytest.raises(KeyboardInterrupt):
        fast_finetune(graph, formats, SETTING, batches, settings=SHORT, folder=tmp_path)
    counted = []
    monkeypatch.setattr(module, "train_layer", lambda *a: counted.append(a) or train(*a))
    resumed, _ = fast_finetune(graph, formats, SETTING, batches, settings=SHORT, folder=tmp_path)
    assert len(counted) == 3
    for name, values in whole.constants.items():
        assert np.array_equal(resumed.constants[name], values), name


def test_finished_layers_of_other_settings_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of anything that matters starts anew."""
    graph, formats, batches = case()
    one = FinetuneSettings(epochs=1)
    fast_finetune(graph, formats, SETTING, batches, settings=one, folder=tmp_path)
    train, counted = module.train_layer, []
    monkeypatch.setattr(module, "train_layer", lambda *a: counted.append(a) or train(*a))
    fast_finetune(graph, formats, SETTING, batches, settings=one, folder=tmp_path)
    assert not counted
    fast_finetune(graph, formats, SETTING, batches[:2], settings=one, folder=tmp_path)
    assert len(counted) == 6


def test_float_scales_per_channel_and_single_samples_work() -> None:
    """Rounding follows whatever formats there are; batches of one train at half the rate."""
    weights = replace(
        DPU_DEFAULT[Kind.WEIGHTS], scale_type=ScaleType.FLOAT, method=Method.MAXMIN,
        per_channel=True, bit_width=4,
    )  # fmt: skip
    setting = replace(SETTING, device=Device.GPU, base={**DPU_DEFAULT, Kind.WEIGHTS: weights})
    graph, _, batches = case()
    formats = calibrate(graph, setting, batches).formats
    bar, single = Bar(), [batches[0][i : i + 1] for i in range(6)]
    fast_finetune(graph, formats, setting, single, settings=FinetuneSettings(epochs=2), bar=bar)
    assert bar.losses[-1] < bar.losses[0]


def test_no_data_is_refused() -> None:
    """The error names what to set."""
    graph, formats, _ = case()
    with pytest.raises(InputError, match="no calibration data"):
        fast_finetune(graph, formats, SETTING, [])


def test_parts_of_a_network_join_to_the_whole() -> None:
    """Cut before any group, both halves compute what the network computes."""
    graph, formats, batches = case()
    ordered = by_group(graph)
    assert sorted(n.name for n in ordered.nodes) == sorted(n.name for n in graph.nodes)
    whole = fake_quantized(graph, formats, SETTING).tensors(batches[0])
    place = {node.name: number for number, node in enumerate(ordered.nodes)}
    for group in groups(ordered):
        cut = place[group.head.name]
        first, rest = part(ordered, 0, cut), part(ordered, cut, len(ordered.nodes))
        assert first.outputs == rest.inputs == alive(ordered, cut)
        made = fake_quantized(first, formats, SETTING).tensors(batches[0])
        (found,) = fake_quantized(rest, formats, SETTING)(*(made[n] for n in rest.inputs))
        assert torch.equal(found, whole["fc"])
