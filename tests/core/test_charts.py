"""Charts as values: there and back, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nibblefit.charts import Curves, Distributions, Line, Mark, Row, as_entry, charts_of
from nibblefit.errors import PluginError

CURVES = Curves("Pruning", "What is left", (0.0, 1.0), (Line("weights", (100.0, 20.0)),),
                "threshold", "%", (Mark(0.5, "chosen"),), (0.0, 1.0), True, "falls")  # fmt: skip
NORMS = Distributions("Pruning", "Norms", (Row("conv", (0.0, 0.5, 1.0), (3, 4), True, "7"),),
                      "norm", (Mark(0.5),), None, "heights")  # fmt: skip


def entry(**changes: Any) -> dict[str, Any]:
    """Return the entry of a chart of curves with changes."""
    return {**as_entry(CURVES), **changes}


def test_charts_survive_a_file() -> None:
    """Written as JSON and read, both kinds are equal to themselves."""
    text = json.dumps({"charts": [as_entry(CURVES), as_entry(NORMS)], "other": 1})
    assert list(charts_of(json.loads(text))) == [CURVES, NORMS]
    assert list(charts_of({})) == []


def test_what_is_left_out_has_a_default() -> None:
    """Topic, title, axis and lines are enough; so are topic, title and rows."""
    small = {"kind": "curves", "topic": "t", "title": "n", "x": [1], "lines": []}
    with pytest.raises(PluginError, match="1 places, but curves of"):
        list(charts_of({"charts": [small]}))
    small["lines"] = [{"label": "a", "values": [2]}]
    row = {"label": "r", "edges": [0, 1], "counts": [1]}
    rows = {"kind": "distributions", "topic": "t", "title": "n", "rows": [row]}
    curves, norms = charts_of({"charts": [small, rows]})
    assert curves == Curves("t", "n", (1.0,), (Line("a", (2.0,)),))
    assert norms == Distributions("t", "n", (Row("r", (0.0, 1.0), (1,)),))


@pytest.mark.parametrize(
    ("charts", "words"),
    [
        ([entry(kind="pie")], "kind is 'pie'; expected curves or distributions"),
        ([entry(x=[0.0])], r"1 places, but curves of \[2\] values"),
        ([entry(x=[0.0, float("nan")])], "not finite"),
        ([entry(span=[1.0, 1.0])], "axis would go from 1 to 1"),
        ([entry(marks=[{"at": float("inf")}])], "not finite"),
        ([entry(extra=1)], "unexpected keyword"),
        ([{"kind": "curves"}], "KeyError"),
        ([{**as_entry(NORMS), "rows": []}], "'Norms' has no rows"),
        ([{**as_entry(NORMS), "rows": [{"label": "a", "edges": [0, 1], "counts": [1, 2]}]}],
         "'a' has 2 counts between 2 edges"),
        ("text", "is no list"),
        ([7], "TypeError"),
    ],
)  # fmt: skip
def test_broken_charts_are_refused(charts: Any, words: str) -> None:
    """One line says what is wrong with the entry, another where charts are described."""
    with pytest.raises(PluginError, match=words) as error:
        list(charts_of({"charts": charts}))
    assert "nibblefit.charts" in error.value.hint
