"""Quantized training in a run: a step of its own, whose ranges are those of the integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nibblefit import open_run
from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.ops import Op
from nibblefit.recipe_file import read_recipe
from nibblefit.runner import run
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.plan import plan_for
from nibblefit_tao.qat.network import QatNetwork
from nibblefit_tao.qat.ranges import ranges_of

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "tao" / "digits.toml"
QUICK: dict[str, object] = {
    "train.epochs": 1, "train.retrain.epochs": 1, "train.qat.epochs": 1, "evaluate.floor": 0.0,
    "evaluate.max_drop": 1.0, "target.ratios": [], "target.ratio": 0.4, "target.qat": True,
}  # fmt: skip


@pytest.mark.extra("train")
def test_a_run_trains_quantized_and_keeps_the_ranges(tmp_path: Path) -> None:
    """The integers have the trained scales, and are those of the trained network, all of them."""
    outcome = run(read_recipe(EXAMPLE, QUICK), tmp_path)
    assert [record.name for record in outcome.steps] == [
        "prepare", "train", "evaluate_train", "prune", "evaluate_prune", "retrain",
        "evaluate_retrain", "qat", "evaluate_qat", "quantize", "compile", "evaluate",
    ]  # fmt: skip
    opened = open_run(tmp_path)
    model, graph = opened.model("qat"), opened.graph("quantize")
    assert model.phase == graph.metadata["method"] == "qat"
    ranges = ranges_of(model)
    assert ranges
    for name, most in ranges.items():
        assert graph.tensors[name].format.scale.values()[0] == np.float32(most / 127)
    network = QatNetwork(model.graph, numerics_of(), ranges).eval()
    (x,) = graph.inputs
    data = np.random.default_rng(0).uniform(0, 1, (16, *graph.tensors[x].shape)).astype(np.float32)
    codes = {x: quantize(data, graph.tensors[x].format, Rounding.HALF_EVEN)}
    judged = reference.run(graph, codes).tensors
    real = network.deployed(torch.float64).eval().forward_all(torch.from_numpy(data).double())
    for name, wanted in judged.items():
        found = np.rint(real[name].detach().numpy() / graph.tensors[name].format.scale.values()[0])
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    trained, integer = opened.report("evaluate_qat"), opened.report("evaluate")
    assert trained.metrics["top1"] == pytest.approx(integer.metrics["top1"], abs=0.01)


@pytest.mark.extra("train")
def test_relu6_only_when_asked_for(tmp_path: Path) -> None:
    """The network that is left has ReLU6; the one before keeps its function."""
    run(read_recipe(EXAMPLE, {**QUICK, "target.qat_relu6": True}), tmp_path)
    opened = open_run(tmp_path)
    before, after = opened.model("train").graph, opened.model("qat").graph
    assert any(node.op is Op.RELU for node in before.nodes)
    assert not any(node.op is Op.RELU for node in after.nodes)
    assert any(node.op is Op.CLIP for node in after.nodes)


def test_quantized_training_is_opt_in() -> None:
    """Its step stands behind all pruning, and is left out by default."""
    recipe = read_recipe(EXAMPLE)
    names = [getattr(item, "name", "") for item in plan_for(recipe, TaoOptions(qat=True))]
    assert names.index("retrain") < names.index("qat") < names.index("evaluate_qat")
    assert names.index("evaluate_qat") < names.index("quantize")
    assert "qat" not in [getattr(item, "name", "") for item in plan_for(recipe, TaoOptions())]
