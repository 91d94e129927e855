"""The kit without pytest: run every check of a target and return records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nibblefit.conformance.bench import Bench
from nibblefit.conformance.records import REGISTRY, Check, CheckFailure, CheckSkip, Outcome, Record
from nibblefit.errors import NibblefitError


def all_checks() -> list[Check]:
    """Return every check, base checks before those that build on them."""
    import nibblefit.conformance.checks  # noqa: F401 - registers them

    ordered: list[Check] = []
    placed: set[str] = set()
    waiting = list(REGISTRY.values())
    while waiting:
        ready = [c for c in waiting if placed.issuperset(c.needs)]
        if not ready:
            raise ValueError(f"checks wait for each other: {', '.join(c.id for c in waiting)}")
        ordered += ready
        placed |= {c.id for c in ready}
        waiting = [c for c in waiting if c.id not in placed]
    return ordered


def run_check(bench: Bench, item: Check, blocked: Iterable[str] = ()) -> Record:
    """Run one check; `blocked` are ids that failed before."""
    stopped = sorted(set(item.needs) & set(blocked))
    if stopped:
        return Record(item.id, Outcome.BLOCKED, f"blocked by {', '.join(stopped)}",
                      item.why, item.how)  # fmt: skip
    try:
        item.body(bench)
    except CheckSkip as skip:
        return Record(item.id, Outcome.SKIPPED, str(skip), item.why, item.how)
    except CheckFailure as failure:
        return Record(item.id, Outcome.FAILED, str(failure), item.why, item.how)
    except NibblefitError as error:
        return Record(item.id, Outcome.FAILED, error.what, item.why, item.how)
    except Exception as error:  # noqa: BLE001 - a stranger's code may raise anything; it is a verdict
        said = f"{type(error).__name__}: {error}"
        return Record(item.id, Outcome.FAILED, said, item.why, item.how)
    return Record(item.id, Outcome.PASSED, "", item.why, item.how)


def run(
    target: str | object,
    *,
    known_gaps: Mapping[str, str] | None = None,
    only: Iterable[str] | None = None,
    part: str = "",
) -> list[Record]:
    """Check a target and return one record per check, in running order.

    Args:
        target: Entry-point name of an installed target, or a target object.
        known_gaps: Check id → reason. A listed check that fails is a known gap; one that passes
            fails, so that the list never goes stale. Unknown ids fail too.
        only: Ids to run (with everything they need); all by default.
        part: One of the target's devices; empty: its default.

    Raises:
        PluginError: The target cannot be loaded at all.
        RecipeError: The target has no such device.
    """
    gaps = dict(known_gaps or {})
    wanted = _closure(only) if only is not None else None
    bench = Bench(target, part)
    records: list[Record] = []
    blocked: set[str] = set()
    try:
        for item in all_checks():
            if wanted is not None and item.id not in wanted:
                continue
            record = run_check(bench, item, blocked)
            if record.status in {Outcome.FAILED, Outcome.BLOCKED}:
                blocked.add(item.id)
            records.append(judge_gap(record, gaps))
    finally:
        bench.close()
    return records + unknown_gaps(gaps)


def judge_gap(record: Record, gaps: Mapping[str, str]) -> Record:
    """Turn a failure that the author declared into a known gap, and a stale gap into a failure."""
    if record.id not in gaps:
        return record
    if record.status is Outcome.FAILED:
        said = f"{gaps[record.id]} ({record.message})"
        return Record(record.id, Outcome.KNOWN_GAP, said, record.why, record.how)
    if record.status is Outcome.PASSED:
        said = f"listed as a known gap ({gaps[record.id]}), but it passes: remove it from the list"
        return Record(record.id, Outcome.FAILED, said, record.why, record.how)
    return record


def unknown_gaps(gaps: Mapping[str, str]) -> list[Record]:
    """Return a failure for every known gap whose id is not a check."""
    known = {c.id for c in all_checks()}
    return [
        Record(gap, Outcome.FAILED, "no check has this id", "a gap list must not rot",
               "remove it, or correct its spelling")
        for gap in gaps
        if gap not in known
    ]  # fmt: skip


def _closure(ids: Iterable[str]) -> set[str]:
    """Return the ids and everything they build on."""
    by_id = {c.id: c for c in all_checks()}
    found: set[str] = set()
    waiting = list(ids)
    while waiting:
        item = by_id[waiting.pop()]
        if item.id not in found:
            found.add(item.id)
            waiting += item.needs
    return found
