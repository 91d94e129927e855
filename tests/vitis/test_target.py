"""The target as core sees it: contract, refusals, small runs from training to files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nibblefit.conformance import target_checks
from nibblefit.conformance.bench import Bench
from nibblefit.conformance.cases import Case, Sketch
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.recipe import Recipe
from nibblefit.recipe_file.idle import IDLE
from nibblefit.results import Finding, Status
from nibblefit.runner import make_manager, run
from nibblefit.runner.findings import recipe_findings
from nibblefit.workspace import open_run
from nibblefit_vitis.devices.catalogue import dpu_named
from nibblefit_vitis.target import TARGET

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.LeakyReLU(0.1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10),
    )
"""


@target_checks("vitis")
def test_the_target_keeps_the_contract(check: object) -> None:
    """Every check of the conformance kit passes."""
    check()  # type: ignore[operator]


def test_the_target_is_imported_without_torch() -> None:
    """Listing targets stays fast."""
    code = "import sys, nibblefit_vitis.target; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_part_is_a_known_dpu() -> None:
    """Boards first, then DPUs by name; each has a fingerprint."""
    assert TARGET.info.parts[:3] == ("kv260", "zcu102", "zcu104")
    assert "DPUCZDX8G_ISA1_B4096" in TARGET.info.parts
    for part in TARGET.info.parts:
        assert dpu_named(part).fingerprint.value > 0


def recipe(folder: Path, *, changes: dict[str, Any] | None = None, **target: Any) -> Recipe:
    """Return a short run on the digits."""
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    stated = {
        "model": {"source": "net.py:build"},
        "target": {"name": "vitis", **target},
        "train": {"epochs": 2, "learning_rate": 0.01},
        "train_steps": {"qat": {"epochs": 2}} if target.get("qat") else {},
        "quantize": {"calibration_samples": 32},
        "evaluate": {"samples": 60, "judge_samples": 30, "batch_size": 16, "max_drop": 1.0},
        "run": {"threads": 1},
        "folder": str(folder),
    }
    return Recipe.model_validate({**stated, **(changes or {})})


@pytest.mark.extra("train")
@pytest.mark.parametrize("target", [
    {}, {"parity": True, "batch_size": 8}, {"qat": True}, {"fast_finetune": True},
    {"configuration": "gpu_quant_config"},
    {"configuration": "int_config", "parity": True, "batch_size": 8},
], ids=["dpu", "parity", "qat", "finetune", "gpu", "cpu-parity"])  # fmt: skip
def test_a_run_goes_from_training_to_files(target: dict[str, Any], tmp_path: Path) -> None:
    """Digits are learnt, quantized, compiled and read back; all executions agree."""
    run(recipe(tmp_path, **target), tmp_path / "run")
    found = open_run(tmp_path / "run")
    report = found.report("evaluate")
    rules = {finding.rule: finding.status for finding in report.findings}
    assert rules["exact.engine"] is rules["exact.simulation"] is Status.PASSED
    assert report.metrics["top1"] > 0.3
    roles = {file.role for file in found.artifact().files}
    integer = "integers" if "configuration" in target else "xmodel"
    assert {"quant_info", "arch", "summary", "readme", integer} <= roles


@pytest.mark.extra("train")
def test_the_float_training_is_kept_when_only_codes_change(tmp_path: Path) -> None:
    """A change of the configuration quantizes again and trains nothing."""
    run(recipe(tmp_path), tmp_path / "run")
    changed = recipe(tmp_path, settings={"target_device": "DPU", "include_cle": False})
    outcome = run(changed, tmp_path / "run")
    again = {step.name for step in outcome.steps if not step.reused}
    assert "float" not in again
    assert {"quantize", "compile"} <= again


def findings(recipe_: Recipe) -> list[Finding]:
    """Return what core and the target say about a recipe."""
    return recipe_findings(make_manager(recipe_), recipe_)


def problems(recipe_: Recipe) -> list[tuple[str, str]]:
    """Return message and place of every failed finding."""
    return [(f.message, f.where) for f in findings(recipe_) if f.status is Status.FAILED]


def test_problems_of_the_configuration_are_problems_of_the_recipe(tmp_path: Path) -> None:
    """A setting the DPU does not have, wherever it stands, is found before any training."""
    assert not problems(recipe(tmp_path))
    wrong = {"overall_quantize_config": {"symmetry": False}}
    ((message, where),) = problems(recipe(tmp_path, settings=wrong))[:1]
    assert "symmetr" in message
    assert where.startswith("target.settings")
    assert problems(recipe(tmp_path, configuration="missing.json"))
    layers = {"calibration_samples": 100, "layers": {"0": {"narrow_range": True}}}
    ((_, where),) = problems(recipe(tmp_path, changes={"quantize": layers}))[:1]
    assert where.startswith("quantize.layers.0")


def test_what_excludes_each_other_is_said(tmp_path: Path) -> None:
    """Two sources of settings, and finetuning behind quantized training."""
    with pytest.raises(ValueError, match="exclude each other"):
        TARGET.info.options(configuration="dpu", settings={"include_cle": True})
    found = problems(recipe(tmp_path, qat=True, fast_finetune=True))
    assert [where for _, where in found] == ["target.fast_finetune"]


@pytest.mark.parametrize(("changes", "target", "place"), [
    ({}, {"qat": True, "settings": {"keep_add_layer_accuracy": True}}, "target.qat"),
    ({"quantize": {"method": "minmax"}}, {}, "quantize.method"),
    ({"quantize": {"percentile": 90.0}}, {}, "quantize.percentile"),
])  # fmt: skip
def test_options_that_nothing_would_read_are_refused(
    changes: dict[str, Any], target: dict[str, Any], place: str, tmp_path: Path
) -> None:
    """Each is named with its place; where something reads it, it is fine."""
    found = problems(recipe(tmp_path, changes=changes, **target))
    assert [where for _, where in found] == [place]


@pytest.mark.parametrize(("changes", "target", "places"), [
    ({}, {"batch_size": 16}, ["target.batch_size"]),
    ({}, {"batch_size": 16, "qat": True}, ["target.batch_size", "quantize.calibration_samples"]),
    ({}, {"alignment": "weights", "configuration": "int_config"}, ["target.alignment"]),
    ({"calibration": {"path": "pictures"}}, {"qat": True},
     ["quantize.calibration_samples", "calibration.path"]),
])  # fmt: skip
def test_options_that_others_make_idle_are_told(
    changes: dict[str, Any], target: dict[str, Any], places: list[str], tmp_path: Path
) -> None:
    """A warning each, as the setting that makes them idle may change again."""
    found = findings(recipe(tmp_path, changes=changes, **target))
    assert [f.where for f in found if f.rule == IDLE] == places
    assert {f.status for f in found} == {Status.WARNING}


def test_options_that_something_reads_are_fine(tmp_path: Path) -> None:
    """Batches with a vote have a size, and finetuning has epochs."""
    statistic = {"tensor_quantize_config": {"activation": {"calib_statistic_method": "modal"}}}
    for target in ({"settings": statistic}, {"parity": True}):
        found = findings(recipe(tmp_path, batch_size=16, **target))
        assert IDLE not in {finding.rule for finding in found}
    assert not problems(recipe(tmp_path, fast_finetune=True, finetune_epochs=3))
    with pytest.raises(ValueError, match="no effect without fast_finetune"):
        TARGET.info.options(finetune_epochs=3)


def test_what_quantized_training_does_not_use_is_said(tmp_path: Path) -> None:
    """A written method or switch draws a remark, no more: presets hold them too."""
    found = TARGET.recipe_problems(recipe(tmp_path, qat=True, configuration="dpu"))
    (said,) = [finding.message for finding in found if finding.where == "target.qat"]
    assert "include_cle, include_bias_corr, method" in said


def test_few_samples_draw_a_remark(tmp_path: Path) -> None:
    """32 calibration samples are few."""
    warnings = [f for f in TARGET.recipe_problems(recipe(tmp_path)) if f.status is Status.WARNING]
    assert [finding.where for finding in warnings] == ["quantize.calibration_samples"]


@pytest.mark.parametrize(("op", "attributes", "words"), [
    (Op.HARD_SIGMOID, {"alpha": 0.2, "beta": 0.5}, "hard sigmoid is clip"),
    (Op.OR, {"bits": 8, "frac": 7}, "join"),
])  # fmt: skip
def test_layers_without_integer_form_are_refused_by_name(
    op: Op, attributes: dict[str, Any], words: str
) -> None:
    """Before training: another hard sigmoid than the DPU's, and an operator nobody has."""
    sketch = Sketch("refused", (3, 6, 6))
    x = sketch.conv("input", 4, name="stem")
    other = (sketch.conv("input", 4, name="branch"),) if op is Op.OR else ()
    graph = sketch.graph(sketch.add(op, x, *other, name="join", **attributes))
    bench = Bench("vitis")
    try:
        with pytest.raises(UnsupportedError, match=words) as refused:
            bench.fresh_model(Case("refused", graph))
    finally:
        bench.close()
    assert "join" in str(refused.value)


def test_networks_with_two_inputs_are_refused() -> None:
    """Calibration feeds one input."""
    graph = Sketch("two", (3, 6, 6)).graph("input")
    two = replace(graph, inputs=("input", "other"),
                  shapes=frozen_mapping({"input": (3, 6, 6), "other": (3, 6, 6)}))  # fmt: skip
    bench = Bench("vitis")
    try:
        with pytest.raises(UnsupportedError, match="has 2 inputs"):
            bench.fresh_model(Case("two", two))
    finally:
        bench.close()


def test_a_missing_dpu_is_said_before_anything_is_trained(tmp_path: Path) -> None:
    """Names nobody knows, and files without a fingerprint, are problems of the recipe."""
    (tmp_path / "arch.json").write_text("{}", encoding="utf-8")
    for arch, words in (("arch.json", "neither fingerprint nor target"), ("0xzz", "no fingerprint"),
                        ("none.json", "cannot be read"), ("kv26", "no DPU or board")):  # fmt: skip
        ((message, where),) = problems(recipe(tmp_path, arch=arch))
        assert where == "target.arch"
        assert words in message
    with pytest.raises(RecipeError, match=r"arch\.json"):
        run(recipe(tmp_path, arch="arch.json"), tmp_path / "run")


@pytest.mark.extra("train")
def test_an_arch_file_decides_the_dpu(tmp_path: Path) -> None:
    """The fingerprint goes into our arch.json."""
    (tmp_path / "arch.json").write_text('{"fingerprint": "0x101000056010404"}', encoding="utf-8")
    run(recipe(tmp_path, arch="arch.json"), tmp_path / "run")
    (written,) = (tmp_path / "run").rglob("*compile/arch.json")
    assert "0x101000056010404" in written.read_text()


def test_a_board_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """With the boards there are."""
    with pytest.raises(RecipeError, match="kv26"):
        run(recipe(tmp_path, part="kv26"), tmp_path / "run")


def test_the_plan_has_the_recipes_gates(tmp_path: Path) -> None:
    """Floor behind the float network, drop behind the integers, quantized training between."""
    stated = recipe(tmp_path, qat=True, changes={"evaluate": {"floor": 0.9, "max_drop": 0.01}})
    names = [item.name for item in TARGET.plan(stated)]
    assert names == ["prepare", "float", "evaluate_float", "floor", "qat", "evaluate_qat",
                     "quantize", "evaluate", "max_drop", "compile"]  # fmt: skip
    plain = [item.name for item in TARGET.plan(recipe(tmp_path))]
    assert plain == ["prepare", "float", "evaluate_float", "quantize", "evaluate", "compile"]


def test_the_commands_of_all_folders_are_there() -> None:
    """`nibblefit vitis` lists what each folder adds."""
    import typer

    app = typer.Typer()
    TARGET.add_commands(app)
    assert {"config", "presets", "verify"} <= {str(one.name) for one in app.registered_commands}


def test_inspecting_says_where_layers_run_and_what_has_no_form() -> None:
    """A layer on the CPU is a warning; one without integers a failure."""
    sketch = Sketch("mixed", (3, 6, 6))
    x = sketch.add(Op.SIGMOID, sketch.conv("input", 4, name="stem"), name="cpu")
    graph = sketch.graph(sketch.linear(x, 3, name="head"))
    found = {f.where: f.status for f in TARGET.inspect(graph, "kv260", None).findings}
    assert found["cpu"] is Status.WARNING
    assert found["stem"] is Status.PASSED
    words = Sketch("words", (3, 6, 6))
    left, right = words.conv("input", 4, name="a"), words.conv("input", 4, name="b")
    bad = words.graph(words.add(Op.OR, left, right, name="join", bits=8, frac=7))
    assert [f.where for f in TARGET.inspect(bad, "kv260", None).failed] == ["join"]


@pytest.mark.extra("train")
def test_formats_that_cannot_be_trained_are_refused_before_training(tmp_path: Path) -> None:
    """Float scales and qat: said by prepare, with what to set."""
    wrong = recipe(tmp_path, qat=True, configuration="gpu_quant_config")
    with pytest.raises(UnsupportedError, match="quantized training") as refused:
        run(wrong, tmp_path / "run", until="prepare")
    assert "poweroftwo" in refused.value.hint


@pytest.mark.extra("train")
def test_quantized_training_builds_on_the_float_training(tmp_path: Path) -> None:
    """Switching qat on trains no float network again."""
    run(recipe(tmp_path), tmp_path / "run", until="evaluate_float")
    outcome = run(recipe(tmp_path, qat=True), tmp_path / "run", until="qat")
    assert {step.name for step in outcome.steps if step.reused} >= {"float"}
