"""The per-plugin matrix: every installed target against the kit, and against its stated support."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli

from nibblefit.conformance import Outcome, run
from nibblefit.conformance.bench import Bench
from nibblefit.conformance.cases import all_cases
from nibblefit.plugins import list_targets
from nibblefit.results import Status

EXPECTED = tomli.loads((Path(__file__).parent / "expected.toml").read_text(encoding="utf-8"))
INSTALLED = [row.name for row in list_targets() if row.package.startswith("nibblefit")]


@pytest.fixture(scope="module", params=INSTALLED)
def target(request: pytest.FixtureRequest) -> str:
    """Return each installed first-party target in turn."""
    return str(request.param)


def test_target_conforms(target: str) -> None:
    """The target passes every check of the kit that applies to it."""
    bad = [r for r in run(target) if r.status not in {Outcome.PASSED, Outcome.SKIPPED}]
    assert not bad, "\n".join(f"{r.id}: {r.message}" for r in bad)


def test_support_is_as_stated(target: str) -> None:
    """Every case is supported exactly where expected.toml says so, in both directions."""
    stated = EXPECTED[target]
    bench = Bench(target)
    try:
        found = {}
        for case in all_cases():
            report = bench.hooks.inspect(case.graph, bench.part, None)
            refused = any(f.status is Status.FAILED for f in report.findings)
            found[case.name] = "refused" if refused else "runs"
    finally:
        bench.close()
    assert found == {name: entry.split(":")[0] for name, entry in stated.items()}


def test_every_target_is_stated() -> None:
    """The table covers the installed targets; those of absent plugins are left alone."""
    assert set(INSTALLED) <= set(EXPECTED)
