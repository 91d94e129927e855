"""Charts of stages on the page: joined, drawn and explained by a legend."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.core.report.run_folders import integer_report, make_run
from tests.core.test_charts import CURVES, NORMS

from nibblefit.charts import Curves, Distributions, Mark, Row, as_entry
from nibblefit.ir.graph import frozen_mapping
from nibblefit.report import build_report
from nibblefit.report.chart_figures import MOST_ROWS, chart_figure, charts_png, legend
from nibblefit.report.charts import Drawn, by_topic, merged
from nibblefit.report.contents import Contents
from nibblefit.report.page import page

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


def marked(chart: Curves | Distributions, at: float) -> Curves | Distributions:
    """Return a chart with one mark."""
    return replace(chart, marks=(Mark(at, f"threshold {at}"),))


def test_candidates_of_a_search_share_a_chart() -> None:
    """Equal curves become one with a mark for each; later results that carry them add nothing."""
    steps = [("prune@a", marked(CURVES, 0.1)), ("retrain@a", marked(CURVES, 0.1)),
             ("prune@b", marked(CURVES, 0.7)), ("prune@b", NORMS)]  # fmt: skip
    curves, norms = merged(steps, ("prune@b", "retrain@b"))
    assert [(one.mark.at, one.step, one.final) for one in curves.marks] == [
        (0.1, "prune@a", False), (0.7, "prune@b", True),
    ]  # fmt: skip
    assert curves.chart == replace(CURVES, marks=())
    assert norms.step == "prune@b"
    assert [stroke.label for stroke in legend(curves)] == [
        "weights", "a: threshold 0.1", "b: threshold 0.7 (goes on)",
    ]  # fmt: skip
    assert [stroke.color for stroke in legend(curves)] == ["series-1", "muted", "series-2"]
    assert legend(norms) == []


def test_a_run_without_candidates_names_its_marks_plainly() -> None:
    """Nothing is said about steps where there is only one."""
    (drawn,) = merged([("prune", marked(CURVES, 0.1))], ("prune",))
    assert [stroke.label for stroke in legend(drawn)] == ["weights", "threshold 0.1"]


def test_topics_become_sections_with_drawings() -> None:
    """Each topic has a heading, an entry of the navigation, its drawings and their legends."""
    other = replace(NORMS, topic="Ranges & <more>", title="Other norms")
    charts = merged([("a", CURVES), ("b", other), ("c", NORMS)], ("a", "b", "c"))
    assert [(topic, len(group)) for topic, group in by_topic(charts)] == [
        ("Pruning", 2), ("Ranges & <more>", 1),
    ]  # fmt: skip
    html = page(Contents("net", "toy", "", "run", charts=charts))
    for anchor, heading in (
        ("pruning", "Pruning"),
        ("ranges----more-", "Ranges &amp; &lt;more&gt;"),
    ):
        assert f'<a href="#charts-{anchor}">{heading}</a>' in html
        assert f'<h2 id="charts-{anchor}">{heading}</h2>' in html
    assert html.count('aria-label="What is left"') == 1
    assert "</svg>weights</li>" in html
    assert "#0102" not in html
    assert 'class="legend"' not in page(Contents("net", "toy", "", "run"))


def test_curves_are_drawn_to_scale() -> None:
    """The line across stands at its place between the ends of the axis."""
    drawn = merged([("a", replace(CURVES, marks=(Mark(0.25, "here"),)))], ("a",))[0]
    svg = chart_figure(drawn)

    def path(color: str) -> list[tuple[float, float]]:
        found = re.search(rf'<path d="([^"]*)"[^>]*stroke: var\(--{color}\)', svg)
        assert found is not None
        return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", found[1])]

    curve, mark = path("series-1"), path("series-2")
    left, right = curve[0][0], curve[-1][0]
    assert mark[0][0] == pytest.approx(left + 0.25 * (right - left), abs=0.01)
    # Stepped: the value holds up to the next place, then falls to a fifth.
    assert [y == curve[0][1] for _, y in curve] == [True, True, False]


def test_of_many_histograms_the_largest_are_drawn() -> None:
    """What has most values stays, in its order; long names show their end."""
    rows = tuple(Row(f"block.{'x' * 40}.{i}", (0.0, 1.0), (i + 1,)) for i in range(MOST_ROWS + 8))
    svg = chart_figure(Drawn(Distributions("t", "n", rows), "s"))
    names = re.findall(r"…x+\.(\d+)<", svg)
    assert sorted(map(int, names)) == list(range(8, MOST_ROWS + 8))


def test_charts_make_one_picture() -> None:
    """A PNG file for places without a page, one chart below the other, in plain colours."""
    pillow = pytest.importorskip("PIL.Image")
    both, one = charts_png((NORMS, CURVES)), charts_png((CURVES,))
    sizes = [pillow.open(io.BytesIO(png)).size for png in (both, one)]
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] > 1.5 * sizes[1][1]
    colors = pillow.open(io.BytesIO(both)).convert("RGB").getcolors(1 << 20)
    assert (0xC2, 0x57, 0x0C) in {color for _, color in colors}


def test_any_stage_can_leave_charts(tmp_path: Path) -> None:
    """Models, graphs, artifacts and evaluations; a broken chart is a finding, not a crash."""
    kinds = {
        kind: [as_entry(replace(NORMS, topic=kind))] for kind in ("model", "graph", "artifact")
    }
    good = replace(integer_report(), arrays=frozen_mapping({"charts": [as_entry(CURVES)]}))
    html = build_report(make_run(tmp_path / "good", report=good, charts=kinds)).read_text("utf-8")
    sections = re.findall(r'<h2 id="charts-(\w+)">', html)
    assert sections == ["model", "graph", "artifact", "pruning"]
    bad = replace(integer_report(), arrays=frozen_mapping({"charts": [{"kind": "pie"}]}))
    html = build_report(make_run(tmp_path / "bad", report=bad)).read_text("utf-8")
    assert "charts-pruning" not in html
    assert "a chart cannot be drawn (ValueError: kind is &#39;pie&#39;" in html
