"""Saved plans: round trip, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.core.pruning.networks import NETWORKS

from nibblefit.errors import InputError
from nibblefit.nn.capture.entry import capture
from nibblefit.pruning.coupling import couple
from nibblefit.pruning.cutting import cut
from nibblefit_tao.pruning.decisions import decide, rank
from nibblefit_tao.pruning.plan import plan_of, read_plan, write_plan
from nibblefit_tao.pruning.settings import PruneSettings


@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_read_back_prunes_the_same(name: str, tmp_path: Path) -> None:
    """Written, read, applied to the unpruned graph: equal shapes and weights."""
    torch.manual_seed(0)
    coupling = couple(capture(NETWORKS[name]().eval(), (3, 12, 12)))
    rankings = rank(coupling, PruneSettings(granularity=1, min_filters=1))
    what = decide(coupling, rankings, 0.7)
    write_plan(plan_of(what, 0.7), tmp_path / "plan.json")
    plan = read_plan(tmp_path / "plan.json")
    ours, theirs = plan.apply(coupling.graph), cut(what)
    assert ours.shapes == theirs.shapes
    assert all(np.array_equal(v, ours.constants[n]) for n, v in theirs.constants.items())
    assert plan.threshold == 0.7
    lines = (tmp_path / "plan.json").read_text().splitlines()
    assert sum('": [' in line for line in lines) == len(plan.layers)
    assert json.loads("\n".join(lines))["version"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no pruning plan"),
        ("[1]", "is no pruning plan"),
        ('{"network": "n", "threshold": 0.1, "layers": {"a": [-1]}}', r"layers\.a\.0"),
        ('{"network": "n", "threshold": 0.1, "layers": {}, "more": 1}', "more"),
        ('{"network": "n", "threshold": NaN, "layers": {}}', "threshold: Input should be a finite"),
        ('{"network": "n", "threshold": -1, "layers": {}}', "threshold"),
        ('{"network": "n", "threshold": 0.1, "layers": {"a": []}}', "at least one, ascending"),
        ('{"network": "n", "threshold": 0.1, "layers": {"a": [1, 1]}}', "ascending, each once"),
        ('{"network": "n", "threshold": 0.1, "layers": {"a": [99999999999999999999]}}', "a.0"),
        ("[" * 100_000, "is no pruning plan"),
        ("\x00\udcff", "is no pruning plan"),
        ('{"version": 2, "network": "n", "threshold": 0.1, "layers": {}}', "version"),
    ],
)
def test_damaged_plans_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """One line that names file and place."""
    (tmp_path / "plan.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=words):
        read_plan(tmp_path / "plan.json")
    with pytest.raises(InputError, match="cannot read the pruning plan"):
        read_plan(tmp_path / "none.json")
