"""`inspect` of both targets: support, sizes, partition, kernels, latency, and bad input."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.tidl.networks import Net, classifier
from typer.testing import CliRunner

from nibblefit.cli.app import app
from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.models import Model
from nibblefit.results import Report, Status
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.target import TARGET as CLASSIC
from nibblefit_tidl.complexity import mmac
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.target import TARGET as CURRENT
from nibblefit_tidl.devices import CLASSIC_DEVICES, DEVICES
from nibblefit_tidl.inspection.latency import with_latency
from nibblefit_tidl.inspection.reports import inspect_classic, inspect_current
from nibblefit_tidl.inspection.settings import classic_setting, current_setting
from nibblefit_tidl.tables.judging import judge, refuse


def table(report: Report, title: str) -> list[dict[str, object]]:
    """Return a table of a report as one mapping per row."""
    found = next(t for t in report.tables if t.title == title)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def split() -> Graph:
    """Return conv, sigmoid, conv: the middle is left to the Arm core on AM62A."""
    net = Net((3, 8, 8))
    x = net.add(Op.SIGMOID, [net.conv(net.x, 4, "a")], "s")
    return net.finish(net.relu(net.conv(x, 4, "b")))


def test_sizes_and_operations() -> None:
    """Rows and totals agree with counts by hand."""
    graph = classifier()
    report = CURRENT.inspect(graph, "am68a", None)
    rows = {str(row["layer"]): row for row in table(report, "Layers")}
    assert rows["stem"]["MMAC"] == 0.03  # 12 · 12 · 8 · 3 · 9 = 31,104
    assert rows["stem"]["weights"] == 8 * 3 * 9 + 8
    assert rows["stem"]["data bytes"] is None  # its rectifier writes
    assert rows["stem.norm.relu"]["data bytes"] == 8 * 12 * 12
    assert rows["stem.norm"]["verdict"] == "folded"
    assert report.metrics["mmac"] == mmac(graph)
    assert report.metrics["largest_tensor_bytes"] == 8 * 12 * 12
    sizes = [3 * 144, 8 * 144, 8 * 36, 8 * 36, 8 * 36, 8 * 36, 8, 8, 5]
    assert report.metrics["data_bytes"] == sum(sizes)
    assert report.metrics["subgraphs"] == 1.0
    assert not report.failed


def test_wide_tensors_take_two_bytes() -> None:
    """16 bits everywhere, or for single tensors."""
    graph = classifier()
    narrow, wide, mixed = (
        inspect_current(graph, "am68a", None, TidlOptions(**options)).metrics["data_bytes"]
        for options in ({}, {"tensor_bits": 16}, {"output_feature_16bit_names": ("head",)})
    )
    assert wide == 2 * narrow - 3 * 144  # inputs stay bytes
    assert mixed == narrow + 5


def test_partition() -> None:
    """A layer that AM62A leaves to the Arm core cuts the network in two."""
    report = CURRENT.inspect(split(), "am62a", None)
    rows = table(report, "Predicted partition")
    assert [row["core"] for row in rows] == ["C7x-MMA, subgraph 1", "Arm", "C7x-MMA, subgraph 2"]
    assert [row["first"] for row in rows] == ["a", "s", "b"]
    warned = [f for f in report.findings if f.status is Status.WARNING]
    assert any(f.rule == "tidl.partition" and "s" in f.message for f in warned)
    assert any(f.where == "s" and "Arm core" in f.message for f in warned)
    whole = CURRENT.inspect(split(), "am68a", None)
    assert whole.metrics["subgraphs"] == 1.0


def test_many_subgraphs() -> None:
    """More than sixteen are said to be too many."""
    net = Net((3, 8, 8))
    x = net.x
    for place in range(18):
        x = net.add(Op.SIGMOID, [net.conv(x, 3, f"c{place}")], f"s{place}")
    report = CURRENT.inspect(net.finish(x), "am62a", None)
    assert report.metrics["subgraphs"] == 18.0
    assert any("at most 16 are offloaded" in f.message for f in report.findings)


def test_kernels_and_latency() -> None:
    """Classic: kernel, zeros, both cores and the placement per layer, totals and their worth."""
    graph = classifier(zeros=0.8)
    report = CLASSIC.inspect(graph, "am5749", None)
    published = table(report, "Published latencies")
    assert len(published) == 14
    assert {"eve", "dsp"} == {str(row["core"]).lower() for row in published}
    assert all(str(row["estimate off by"]).endswith("%") for row in published)
    rows = {str(row["layer"]): row for row in table(report, "Latency")}
    every = rows.pop("all layers")
    assert every["best"] == f"{report.metrics['eve_and_dsp_ms']:.4g} ms"
    assert rows["stem"]["EVE kernel"] == "dense"
    assert rows["stem"]["zeros"] == pytest.approx(0.8, abs=0.15)
    assert rows["head"]["EVE kernel"] is None
    for core in ("eve", "dsp"):
        column = f"{core.upper()} ms"
        total = sum(float(str(row[column])) for row in rows.values())
        assert report.metrics[f"{core}_ms"] == every[column] == pytest.approx(total)
    assert report.metrics["eve_and_dsp_ms"] <= min(report.metrics["eve_ms"],
                                                   report.metrics["dsp_ms"])  # fmt: skip
    lines = [f.message for f in report.findings if f.rule == "tidl.latency"]
    assert all("left out of the fit" in line for line in lines)
    assert any(f.rule == "tidl.kernel" and f.where == "stem" for f in report.findings)
    faster = inspect_classic(graph, "am5749", None, ClassicOptions(kernel="sparse"))
    assert faster.metrics["eve_ms"] < report.metrics["eve_ms"]
    other = CLASSIC.inspect(graph, "tda3x", None)
    assert any("other clocks" in f.message for f in other.findings)


def test_softmax_runs_on_the_classic_devices() -> None:
    """It is computed in floating point, but not on the Arm core."""
    net = Net((3, 8, 8))
    graph = net.finish(net.add(Op.SOFTMAX, [net.conv(net.x, 4, "a")], "s", axis=1))
    report = CLASSIC.inspect(graph, "am5749", None)
    assert [row["verdict"] for row in table(report, "Layers")] == ["runs", "runs"]


def test_evaluations_count_the_zeros_of_training() -> None:
    """A model's masks make it faster; what is no model keeps its report."""
    graph, report = classifier(), Report("float model", {"top1": 0.5})
    options = ClassicOptions(kernel="sparse")
    weights = {n.inputs[1] for n in graph.nodes if n.op is Op.CONV}
    masks = {name: np.zeros(graph.constants[name].shape, np.bool_) for name in weights}
    dense, sparse = (with_latency(report, Model(graph, each), "am5749", options)
                     for each in ({}, masks))  # fmt: skip
    assert sparse.metrics == dense.metrics == report.metrics
    before, after = (table(each, "Latency")[-1] for each in (dense, sparse))
    assert float(str(after["EVE ms"])) < float(str(before["EVE ms"]))
    assert with_latency(report, graph, "am5749", options) is report


def test_pools_join_on_the_classic_devices() -> None:
    """2 × 2 with stride 2 becomes part of the convolution, which then writes the pooled map."""
    rows = {
        str(row["layer"]): row for row in table(CLASSIC.inspect(classifier(), "", None), "Layers")
    }
    assert rows["pool"]["runs as"] == "stem (conv + relu + max_pool)"
    assert rows["pool"]["data bytes"] == 8 * 36
    assert rows["stem.norm.relu"]["data bytes"] is None


def test_several_outputs_are_warned_of() -> None:
    """The classic devices have one."""
    net = Net((3, 8, 8))
    graph = net.finish(net.conv(net.x, 2, "a"), net.conv(net.x, 2, "b"))
    report = CLASSIC.inspect(graph, "tda2x", None)
    assert any(f.rule == "tidl.outputs" for f in report.findings)


def test_computed_weights_are_refused_and_do_not_crash() -> None:
    """Neither operations nor latency can be counted, so they are left out."""
    net = Net((2, 8, 8))
    kernel = net.add(Op.RESHAPE, [net.conv(net.x, 1, "k")], "w", shape=(2, 2, 4, 4))
    builder = net.builder
    odd = builder.add(Op.CONV, [net.x, kernel], "odd", strides=(1, 1), pads=(0,) * 4,
                      dilations=(1, 1), groups=1)  # fmt: skip
    graph = net.finish(odd)
    for target in (CLASSIC, CURRENT):
        report = target.inspect(graph, "", None)
        assert report.failed
        assert "mmac" not in report.metrics


def test_unknown_kernel_layers_are_named() -> None:
    """A misspelt layer is a failed finding, not a crash."""
    report = inspect_classic(classifier(), "", None, ClassicOptions(kernel={"stam": "sparse"}))
    assert "did you mean 'stem'" in report.failed[0].message


def test_preparation_refuses_all_at_once() -> None:
    """Every refused layer is listed with reason and rewrite, and the device."""
    net = Net((2, 40, 40))
    x = net.conv(net.x, 4, "wide", kernel=7, stride=4)
    x = net.add(Op.GLOBAL_AVG_POOL, [net.conv(net.x, 4, "a")], "mean")
    y = net.conv(net.x, 4, "wide2", kernel=7, stride=4)
    graph = net.finish(x, y)
    setting = current_setting(DEVICES["tda4vm"], TidlOptions())
    with pytest.raises(UnsupportedError) as caught:
        refuse(judge(graph, setting), "tidl", setting.device)
    text = str(caught.value)
    assert "cannot run 2 layers of this network on tda4vm" in text
    assert "convert_large_global_avg_pooling_to_matmul" in text
    assert "'wide2'" in text
    refuse(judge(classifier(), setting), "tidl", setting.device)
    assert classic_setting(CLASSIC_DEVICES["am5749"]).device == "am5749"


def test_the_hooks_prepare() -> None:
    """Both targets hand back the network as it is, and refuse what the tables refuse."""
    recipe = SimpleNamespace(
        target=SimpleNamespace(name="tidl"), prune=SimpleNamespace(layers={}), folder=".",
        model=SimpleNamespace(source="net.py:build"),
    )  # fmt: skip
    good, net = classifier(), Net((4, 40, 40))
    bad = net.finish(net.add(Op.SLICE, [net.conv(net.x, 4, "a")], "cut", axes=(2,), starts=(0,),
                             ends=(40,), strides=(2,)))  # fmt: skip
    for target, part, options in (
        (CURRENT, "am62a", TidlOptions()),
        (CLASSIC, "tda2x", ClassicOptions(sparsify=False)),
    ):
        run: Any = SimpleNamespace(recipe=recipe, part=part, options=options)
        found = target.prepare(run, good).graph
        assert (found.nodes, found.shapes) == (good.nodes, good.shapes)
        with pytest.raises(UnsupportedError, match=r"'cut'.*steps 2"):
            target.prepare(run, bad)


def test_commands() -> None:
    """`nibblefit tidl operators` prints tables and rewrites; unknown words are one clear line."""
    runner = CliRunner()
    printed = runner.invoke(app, ["tidl", "operators", "--part", "am62a", "--json"])
    rows = json.loads(printed.stdout)["rows"]
    standing = {row[0]: row[2] for row in rows}
    assert standing["Sigmoid, Tanh, HardSigmoid, HardSwish"] == "on the Arm core"
    assert standing["GlobalMaxPool"] == "no"
    printed = runner.invoke(app, ["tidl", "operators", "--rewrites"])
    assert "convert_maxpool_to_cascaded_maxpool" in printed.stdout
    printed = runner.invoke(app, ["tidl", "operators", "--target", "tidl-classic"])
    assert "DetectionOutput" in printed.stdout
    for words in (["--target", "maxim"], ["--release", "12"], ["--part", "am62"]):
        refused = runner.invoke(app, ["tidl", "operators", *words])
        assert refused.exit_code != 0
        assert words[1] in str(refused.exception) + refused.output
