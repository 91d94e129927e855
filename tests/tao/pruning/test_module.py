"""Pruning without a recipe: modules, ONNX files, reloading, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from nibblefit.cli.entry import main
from nibblefit.errors import InputError
from nibblefit.nn.onnx_import import import_onnx
from nibblefit_tao.networks.ssd_resnet import SsdResNet18
from nibblefit_tao.pruning.module import prune_graph, prune_module, reload
from nibblefit_tao.pruning.plan import read_plan, write_plan
from nibblefit_tao.pruning.settings import PruneSettings

ROOT = Path(__file__).resolve().parents[3]
SHAPE = (3, 64, 64)
FINE = PruneSettings(granularity=4, min_filters=4)


def detector() -> SsdResNet18:
    """A narrow detector with seeded weights."""
    torch.manual_seed(5)
    return SsdResNet18(3, width=0.25, levels=3).eval()


def test_a_detector_shrinks_and_its_outputs_keep_their_shapes() -> None:
    """Heads stay whole though nobody names them, and the module given is untouched."""
    network = detector()
    before = [p.shape for p in network.parameters()]
    pruned = prune_module(network, SHAPE, FINE, ratio=0.4)
    x = torch.zeros(2, *SHAPE)
    with torch.no_grad():
        small, whole = pruned.module().eval()(x), network(x)
    assert [y.shape for y in small] == [y.shape for y in whole]
    assert 0.2 < pruned.ratio <= 0.4
    assert sum(p.numel() for p in pruned.module().parameters()) == pruned.after.trained
    assert [p.shape for p in network.parameters()] == before


def test_a_pruned_network_is_made_again_without_pickled_classes(tmp_path: Path) -> None:
    """Plan and state dict on disk; a fresh module of the same class; equal outputs."""
    pruned = prune_module(detector(), SHAPE, FINE, ratio=0.5)
    module = pruned.module()
    write_plan(pruned.plan, tmp_path / "plan.json")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    state = torch.load(tmp_path / "weights.pt", weights_only=True)
    fresh = SsdResNet18(3, width=0.25, levels=3).eval()
    again = reload(fresh, SHAPE, read_plan(tmp_path / "plan.json"), state)
    x = torch.randn(1, *SHAPE, generator=torch.manual_seed(1))
    with torch.no_grad():
        for ours, theirs in zip(again.eval()(x), module.eval()(x), strict=True):
            assert torch.equal(ours, theirs)
    other = prune_module(detector(), SHAPE, FINE, ratio=0.7)
    with pytest.raises(InputError, match="the weights do not fit the plan: size mismatch"):
        reload(fresh, SHAPE, other.plan, state)


def test_the_command_prunes_factories_and_onnx_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """model.onnx is smaller and checked; its plan makes the same network from the first one."""
    monkeypatch.chdir(ROOT)
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["tao", "prune", "examples/networks/residual.py:build", "--input-shape", "1,8,8"]
    less = ["-pg", "4", "-nf", "4", "--json"]
    assert main([*words, "--ratio", "0.8", "--out", str(first), *less]) == 0
    told = json.loads(capsys.readouterr().out)
    onnx.checker.check_model(onnx.load(first / "model.onnx"))
    graph = import_onnx(first / "model.onnx")
    assert sum(v.size for v in graph.constants.values()) <= told["parameters"]
    with np.load(first / "weights.npz") as weights:
        assert sum(weights[name].size for name in weights) == told["parameters"]
    again = [words[0], words[1], str(first / "model.onnx"), "--ratio", "0.5"]
    assert main([*again, "--out", str(second), *less]) == 0
    assert json.loads(capsys.readouterr().out)["ratio"] <= 0.5
    assert read_plan(second / "plan.json").layers
    assert main([*words, "--out", str(first), "-n", "L3"]) == 2
    assert main([*words, "--out", str(first), "-el", "none.*"]) == 2
    assert "matches no layer" in capsys.readouterr().err


def test_thresholds_hold_where_no_ratio_is_asked_for() -> None:
    """TAO's default threshold on a fresh network removes nothing, and the plan says so."""
    pruned = prune_module(detector(), SHAPE)
    assert pruned.ratio == 1.0
    assert not pruned.plan.layers
    assert prune_graph(pruned.graph, FINE, ratio=0.9).ratio <= 0.9
