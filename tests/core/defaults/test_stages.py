"""Core's stages for a target that declares numerics and nothing else, through whole runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel
from tests.core.quantization.networks import everything

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.runs import whole_run, write_problem
from nibblefit.defaults.inspect import inspect
from nibblefit.defaults.network import network
from nibblefit.defaults.prepare import prepare
from nibblefit.errors import UnsupportedError
from nibblefit.hooks import API, TargetInfo
from nibblefit.ir.numerics import Fusion, Numerics
from nibblefit.ir.ops import Op
from nibblefit.nn.network import Network
from nibblefit.plan import Stage
from nibblefit.recipe import ModelSection, QuantizeSection, Recipe, TargetSection
from nibblefit.results import Status
from nibblefit.workspace import open_run

NUMERICS = Numerics(
    fusions=tuple(Fusion(f"{op} + relu", (op, Op.RELU)) for op in (Op.CONV, Op.LINEAR)),
    operators=frozenset({Op.CONV, Op.RELU, Op.LINEAR, Op.FLATTEN, Op.MAX_POOL, Op.ADD}),
    sources={"inputs": "made up for this test"},
)


class _Options(BaseModel):
    """No options."""


class Plain:
    """A target that leaves every stage to core."""

    info = TargetInfo("plain", "nothing of its own", API, NUMERICS, _Options)


def test_a_target_without_hooks_goes_all_the_way(tmp_path: Path) -> None:
    """Core quantizes by the declared numerics, compiles, reads back, and proves exactness."""
    bench = Bench(Plain())
    try:
        recipe = write_problem(bench, tmp_path / "problem")
        whole_run(bench, recipe, tmp_path / "run")
    finally:
        bench.close()
    opened = open_run(tmp_path / "run")
    report = opened.report()
    assert not report.failed
    assert {f.status for f in report.findings if f.rule.startswith("exact")} == {Status.PASSED}
    assert any("SQNR [dB]" in table.columns for table in report.tables)
    graph = opened.graph()
    assert graph.target == "plain"
    assert {node.op for node in graph.nodes} <= NUMERICS.operators


def test_prepare_refuses_everything_at_once_and_changes_nothing() -> None:
    """All unsupported layers in one error; a supported network passes as it is."""
    bench = Bench(Plain())
    try:
        run = bench.run_for(bench.cases[0], Stage.PREPARE)
        with pytest.raises(UnsupportedError, match=r"(?s)target 'plain' cannot run.*'hs'.*'sm'"):
            prepare(run, everything(), NUMERICS)
        graph = bench.cases[0].graph
        model = prepare(run, graph, NUMERICS)
        assert model.graph is graph
        assert isinstance(network(run, model), Network)
    finally:
        bench.close()


def test_inspection_lists_every_layer_and_never_raises() -> None:
    """Unsupported layers are failed findings with a remedy; widths follow the recipe."""
    recipe = Recipe(
        model=ModelSection(source="x"), target=TargetSection(name="plain"),
        quantize=QuantizeSection(layers={"c1": {"weight_bits": 4}}),
    )  # fmt: skip
    graph = everything()
    report = inspect(graph, "", recipe, NUMERICS)
    assert len(report.findings) == len(graph.nodes)
    assert report.failed
    assert all(finding.hint for finding in report.failed)
    rows = {row[0]: row for row in report.tables[0].rows}
    assert rows["c1"][3] == 4
    assert rows["c1"][4] == 8 * 27 // 2 + 4 * 8
    assert rows["c2"][3] == 8
    assert report.metrics["supported"] < report.metrics["layers"]
