"""The target as core sees it: contract, plan, inspection, stages of a small run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.maxim.networks import Chain, Residual, captured, seeded
from torch import nn

from nibblefit.conformance import target_checks
from nibblefit.conformance.bench import Bench
from nibblefit.errors import InputError, LimitError, RecipeError
from nibblefit.plan import Gate, Stage, Step
from nibblefit.recipe import EvaluateSection, ModelSection, QuantizeSection, Recipe, TargetSection
from nibblefit.results import Status
from nibblefit_maxim import TARGET
from nibblefit_maxim.execution import network_of
from nibblefit_maxim.files import read_files_back
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.start import decisions_of, start


@target_checks("maxim")
def test_maxim_keeps_the_contract(check: object) -> None:
    """Every check of the conformance kit passes."""
    check()  # type: ignore[operator]


def recipe(**sections: object) -> Recipe:
    """Return a recipe for this target."""
    options = sections.pop("options", {})
    return Recipe(
        model=ModelSection(source="net.onnx"),
        target=TargetSection(name="maxim", **options),  # type: ignore[arg-type]
        **sections,  # type: ignore[arg-type]
    )


def test_target_is_imported_without_torch() -> None:
    """Listing targets stays fast."""
    code = "import sys, nibblefit_maxim; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_option_is_described() -> None:
    """The recipe reference is generated from the descriptions."""
    assert all(field.description for field in MaximOptions.model_fields.values())


def test_plan_has_both_gates_and_both_trainings() -> None:
    """Float training, its floor, QAT, integers, the allowed drop, files, in this order."""
    evaluate = EvaluateSection(floor=0.9, max_drop=0.01)
    names = [item.name for item in TARGET.plan(recipe(evaluate=evaluate))]
    assert names == ["prepare", "float", "evaluate_float", "floor", "qat", "evaluate_qat",
                     "quantize", "evaluate", "max_drop", "compile"]  # fmt: skip


def test_plan_without_qat() -> None:
    """Post-training quantization leaves two steps out, and harmless limits are no gates."""
    plan = TARGET.plan(recipe(options={"qat": False}))
    assert not any(isinstance(item, Gate) for item in plan)
    assert [i.name for i in plan if isinstance(i, Step) and i.stage is Stage.TRAIN] == ["float"]


def test_unknown_part_names_the_known_ones() -> None:
    """A device that does not exist is refused by name."""
    with pytest.raises(RecipeError, match="max78001") as error:
        part_named("max78001")
    assert "max78002" in str(error.value)


def test_inspection_of_a_chain_shows_layers_and_fit() -> None:
    """One finding per layer and one for the fit; every memory as a table; figures as metrics."""
    report = TARGET.inspect(captured(seeded(Chain), (1, 8, 8)), "", None)
    assert not report.failed
    assert [finding.rule for finding in report.findings] == ["maxim.layer"] * 4 + ["memory.fits"]
    assert [table.title for table in report.tables] == [
        "Hardware layers", "Memory plan for MAX78000",
        "Weight memory: words of 768 on each processor", "Bias memory", "Data memory in use",
    ]  # fmt: skip
    assert report.metrics["layers"] == 4
    assert report.metrics["milliseconds"] == pytest.approx(report.metrics["cycles"] / 50_000)
    words = [word for row in report.tables[2].rows for word in row[1:]]
    assert words == list(report.arrays["kernel_words"])
    assert len(words) == 64
    assert max(words) == report.metrics["kernel_words_peak"] > 0
    assert sum(report.arrays["bias_bytes"]) == report.metrics["bias_bytes"]
    instances = report.arrays["instance_bytes"]
    assert [len(row) for row in instances] == [16] * 4


def test_inspection_never_raises() -> None:
    """Refused layers, networks that do not fit and bad settings become failed findings."""
    bad = nn.Sequential(nn.Conv2d(3, 4, 7, padding=2), nn.LeakyReLU(), nn.Conv2d(4, 4, 1))
    report = TARGET.inspect(captured(bad, (3, 8, 8)), "max78002", recipe())
    assert len(report.failed) == 2
    assert len(report.findings) == 3
    residual = TARGET.inspect(captured(seeded(Residual), (3, 8, 8)), "", None)
    assert not residual.failed
    settings = recipe(quantize=QuantizeSection(layers={"nobody": {}}))
    chain = TARGET.inspect(captured(seeded(Chain), (1, 8, 8)), "", settings)
    assert [finding.rule for finding in chain.failed] == ["maxim.settings"]
    assert all(finding.status is Status.FAILED for finding in chain.failed)


@pytest.fixture(scope="module")
def bench() -> object:
    """A bench for single stages."""
    made = Bench("maxim")
    yield made
    made.close()


def test_started_model_is_trained_in_the_chips_arithmetic(bench: Bench) -> None:
    """Before the start the network is plain float; after it, folded and quantizing."""
    case = next(case for case in bench.cases if case.name == "chain")
    run = bench.run_for(case, Stage.TRAIN)
    model = bench.model(case)
    assert not isinstance(network_of(run, model), QatNetwork)
    started, decisions = start(run, model)
    assert started.phase == "qat"
    assert decisions_of(started) == decisions
    assert start(run, started) == (started, decisions)
    assert isinstance(network_of(run, started), QatNetwork)


def test_network_that_does_not_fit_is_refused_before_training(bench: Bench) -> None:
    """Too many weights stop the run at once; branches only warn, since they can be measured."""
    case = next(case for case in bench.cases if case.name == "chain")
    run = bench.run_for(case, Stage.PREPARE)
    wide = nn.Sequential(nn.Conv2d(64, 1024, 3, padding=1), nn.ReLU(), nn.Conv2d(1024, 4, 1))
    with pytest.raises(LimitError, match="words per processor"):
        TARGET.prepare(run, captured(wide, (64, 4, 4)))
    told: list[str] = []
    listening = replace(run, reporter=_Listener(told))
    graph = captured(seeded(Residual), (3, 8, 8))
    assert TARGET.prepare(listening, graph).graph is graph
    assert told
    advice = "global pooling stands in front of the classifier"
    assert all("no files can be written" in line or line.startswith(advice) for line in told)


class _Listener:
    """A reporter that keeps warnings."""

    def __init__(self, told: list[str]) -> None:
        self.warn = told.append


def test_missing_or_damaged_files_are_named(bench: Bench) -> None:
    """Reading back says which file is missing, and that a sample is none."""
    case = next(case for case in bench.cases if case.name == "chain")
    artifact, folder = bench.fresh_artifact(case)
    run = bench.run_for(case, Stage.COMPILE)
    with pytest.raises(InputError, match="yaml file is missing"):
        read_files_back(run, artifact)
    there = replace(run, artifact_folder=folder)
    sample = next(file for file in artifact.files if file.role == "sample")
    Path(folder / sample.path).write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(InputError, match="not a sample input"):
        read_files_back(there, artifact)
