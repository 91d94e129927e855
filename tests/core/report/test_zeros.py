"""Zeros of pruned networks: shown three ways, per layer and over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.report.test_page import _contents

from nibblefit.fixed.formats import Format
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.report.comparison import results_table, share_before, shared_metrics
from nibblefit.report.contents import Measured, Training
from nibblefit.report.headlines import headlines
from nibblefit.report.page import page
from nibblefit.report.plots import weight_histograms
from nibblefit.report.sizes import NetworkSizes
from nibblefit.report.zeros import zeros_chart, zeros_table
from nibblefit.results import Report, Table

COUNTED = {"sparsity": 0.75, "sparsity_by_macs": 0.5, "sparsity_layer_mean": 0.625}
MEASURED = (
    Measured("evaluate_initial", "float model", {"top1": 0.9}),
    Measured("evaluate_l1", "float model", {"top1": 0.89}, "evaluate_initial", 0.01),
    Measured("evaluate_sparse", "pruned model", {"top1": 0.88, **COUNTED}),
    Measured("evaluate", "integer graph", {"top1": 0.87, **COUNTED, "sparsity": 0.8}),
)
ZEROS = Table("Pruned weights", ("layer", "weights", "zeros"), (("stem", 36, 0), ("body", 200, 50)))


def test_every_way_of_counting_has_a_column() -> None:
    """Networks with zeros only, and each share in percent under what it counts."""
    table = zeros_table(MEASURED)
    assert table is not None
    assert table.columns == ("network", "step", "of all weights", "by macs", "layer mean")
    assert table.rows == (
        ("pruned model", "evaluate_sparse", "75.00 %", "50.00 %", "62.50 %"),
        ("integer graph", "evaluate", "80.00 %", "50.00 %", "62.50 %"),
    )
    assert zeros_table(MEASURED[:2]) is None


def test_the_accuracy_table_keeps_one_of_them() -> None:
    """Beside accuracies stands the share of all weights; the other ways have their own table."""
    assert shared_metrics(MEASURED) == ["top1", "sparsity"]
    assert results_table(MEASURED, "top1").columns == (
        "network", "step", "top1", "sparsity", "change",
    )  # fmt: skip


def test_layers_are_drawn_from_the_first_table_that_counts_zeros() -> None:
    """The length of a bar is the layer's share; a report without such a table draws nothing."""
    chart = zeros_chart("evaluate", Report("integer graph", tables=(Table("x", (), ()), ZEROS)))
    assert chart is not None
    assert [(bar.label, bar.share, bar.text, bar.detail) for bar in chart.bars] == [
        ("stem", 0.0, "0.0 %", "0 of 36"), ("body", 0.25, "25.0 %", "50 of 200"),
    ]  # fmt: skip
    assert zeros_chart("evaluate", Report("integer graph")) is None


@pytest.mark.extra("report")
def test_the_page_shows_table_layers_and_course() -> None:
    """The section has the table and the bars; training draws sparsity over epochs, in percent."""
    epochs = tuple({"sparsity": share, "loss": 1.0} for share in (0.0, 0.4, 0.8))
    chart = zeros_chart("evaluate", Report("integer graph", tables=(ZEROS,)))
    assert chart is not None
    contents = replace(_contents(), measured=MEASURED, zeros=(chart,),
                       trainings=(Training("sparse", epochs),))  # fmt: skip
    text = page(contents)
    assert '<h2 id="zeros">Sparsity</h2>' in text
    assert '<a href="#zeros">Sparsity</a>' in text
    assert "50 of 200" in text
    assert "62.50 %" in text
    drawing = text[text.index("<h3>sparse: sparsity</h3>") :]
    drawing = drawing[: drawing.index("</figure>")]
    assert ">80</text>" in drawing
    assert ">%</text>" in drawing


def test_headlines_tell_stages_and_quantization_apart() -> None:
    """Two float models carry their steps; zeros name what quantization added, if it did."""
    shown = headlines(MEASURED, "top1", {one.step: Report(one.subject) for one in MEASURED},
                      NetworkSizes(None, None))  # fmt: skip
    assert [line.label for line in shown] == [
        "Float model (initial)", "Float model (l1)", "Pruned model", "Integer graph", "Pruned",
    ]  # fmt: skip
    assert shown[-1].value == "80.00 %"
    assert shown[-1].detail == "of the weights are zero, 75.00 % before quantization"
    assert share_before(MEASURED[:3]) is None
    same = replace(MEASURED[3], metrics={"top1": 0.87, "sparsity": 0.75001})
    assert share_before((*MEASURED[:3], same)) is None


@pytest.mark.parametrize(("points", "axis", "zeros"), [((3,), None, 50), ((3, 0), 0, 75)])
def test_weights_are_zero_where_their_code_is_the_zero_point(
    points: tuple[int, ...], axis: int | None, zeros: int
) -> None:
    """Zeros in a histogram's caption count codes of zero, also with one zero point per channel."""
    form = Format(8, False, scale=(1.0,) * len(points), zero_point=points, axis=axis)
    codes = np.array([[3, 3], [0, 0]] if axis is None else [[3, 3], [0, 7]], np.int64)
    node = QuantizedNode("fc", Op.LINEAR, ("x", "w"), ("y",))
    tensors = {
        "x": QuantizedTensor("x", (2,), Format(8, True)), "w": QuantizedTensor("w", (2, 2), form),
        "y": QuantizedTensor("y", (2,), Format(8, True)),
    }  # fmt: skip
    graph = QuantizedGraph(
        "n", "t", ("x",), ("y",), (node,), frozen_mapping(tensors), frozen_mapping({"w": codes})
    )
    (histogram,) = weight_histograms(graph)
    assert histogram.caption.endswith(f"{zeros} % zero")
