"""Every check of the kit is proven by a deliberately broken target that it catches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nibblefit_toychip import ToyChip
from tests.broken.faults import FAULTS
from tests.broken.faults.stages import OtherTarget
from tests.broken.heavy import Heavy

from nibblefit import engine
from nibblefit.conformance import Outcome, all_checks, run

ALL_FAULTS = {**FAULTS, Heavy: "contract.light"}


def _builds_on(base: str) -> set[str]:
    """Return every check that needs `base`, directly or not."""
    found = {base}
    for item in all_checks():  # base checks come first
        if found & set(item.needs):
            found.add(item.id)
    return found


def test_correct_toy_passes_everything() -> None:
    """The correct toy target, which never imports torch itself, passes or skips every check."""
    bad = [r for r in run(ToyChip()) if r.status not in {Outcome.PASSED, Outcome.SKIPPED}]
    assert not bad, "\n".join(f"{r.id}: {r.message}" for r in bad)


@pytest.mark.parametrize("broken", ALL_FAULTS, ids=lambda kind: kind.__name__)
def test_fault_is_caught_by_name(broken: type[ToyChip]) -> None:
    """The named check fails, those that build on it may be blocked, and nothing else fails."""
    expected = ALL_FAULTS[broken]
    records = {r.id: r for r in run(broken())}
    assert records[expected].status is Outcome.FAILED, records[expected]
    assert records[expected].message
    others = {
        r.id: r.message
        for r in records.values()
        if r.status is Outcome.FAILED and r.id != expected and r.id not in _builds_on(expected)
    }
    assert not others


def test_faulty_engine_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is one code off at one place fails exact.engine.

    No target can be at fault here, so the fault is put into the engine itself.
    """

    class Wrong(engine.Engine):
        def run(self, *args: Any, **options: Any) -> Any:
            found = super().run(*args, **options)
            name = self.graph.outputs[0]
            off = np.array(found.tensors[name])
            off.flat[0] += 1
            return replace(found, tensors={**found.tensors, name: off})

    monkeypatch.setattr(engine, "Engine", Wrong)
    records = {r.id: r for r in run(ToyChip(), only=["exact.engine"])}
    assert records["exact.engine"].status is Outcome.FAILED


def test_every_check_has_a_fault() -> None:
    """No check exists that nothing has ever been seen to fail."""
    proven = {*ALL_FAULTS.values(), "exact.engine"}
    missing = {c.id for c in all_checks()} - proven
    assert not missing, f"checks without a broken toy: {sorted(missing)}"


def test_known_gap_is_strict() -> None:
    """A listed gap that fails is no failure; one that passes, or that no check has, fails."""
    gaps = {"graph.target": "label comes later", "graph.layers": "stale", "no.such": "typo"}
    records = {r.id: r for r in run(OtherTarget(), known_gaps=gaps)}
    assert records["graph.target"].status is Outcome.KNOWN_GAP
    assert records["graph.layers"].status is Outcome.FAILED
    assert records["no.such"].status is Outcome.FAILED
