"""Family ``resume``: a finished stage is never done again, and never done differently."""

from __future__ import annotations

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import CheckFailure, check
from nibblefit.conformance.runs import whole_run, write_problem


@check(
    "resume.reuse",
    why="users interrupt runs; finished work must be kept and give the same result",
    how="keep everything a stage needs in its inputs, the recipe and run.folder",
    needs=(
        "contract.plan",
        "stages.repeatable",
        "exact.engine",
        "exact.simulation",
        "artifact.digests",
        "artifact.deterministic",
        "artifact.read_back",
    ),
)
def reuse(bench: Bench) -> None:
    """A second run reuses every step; a fresh folder gives the same digests."""
    recipe = write_problem(bench, bench.folder / "problem")
    first = whole_run(bench, recipe, bench.folder / "run-a")
    again = whole_run(bench, recipe, bench.folder / "run-a")
    repeated = [record.name for record in again.steps if not record.reused]
    if repeated:
        raise CheckFailure(f"step '{repeated[0]}' ran again though nothing changed")
    other = whole_run(bench, recipe, bench.folder / "run-b")
    changed = [k for k, v in first.digests.items() if other.digests.get(k) != v]
    if changed:
        raise CheckFailure(f"step '{changed[0]}' gives another result in another folder")
