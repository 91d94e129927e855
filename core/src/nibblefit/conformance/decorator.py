"""The kit's pytest face: three lines make a third party's whole test file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nibblefit.conformance import table
from nibblefit.conformance.records import Outcome, Record


class _Session:
    """Runs the checks of one target once, lazily, in their order."""

    def __init__(self, target: str | object, gaps: Mapping[str, str], part: str) -> None:
        self.target = target
        self.part = part
        self.gaps = gaps
        self.records: dict[str, Record] | None = None

    def record(self, id: str) -> Record:  # noqa: A002
        if self.records is None:
            found = table.run(self.target, known_gaps=self.gaps, part=self.part)
            self.records = {record.id: record for record in found}
        return self.records[id]


def target_checks(
    target: str | object, *, known_gaps: Mapping[str, str] | None = None, part: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Parametrize a test function over every check of a target.

    The function takes one argument ``check`` and calls it::

        @target_checks("toychip", known_gaps={"exact.simulation": "issue 12"})
        def test_toychip(check):
            check()

    Args:
        target: Entry-point name, or a target object.
        known_gaps: Check id → reason, strict in both directions.
        part: One of the target's devices; empty: its default.
    """
    import pytest

    gaps = dict(known_gaps or {})
    session = _Session(target, gaps, part)

    def runner(id: str) -> Callable[[], None]:  # noqa: A002
        def call() -> None:
            record = session.record(id)
            text = f"{record.id}: {record.message}\n  why: {record.why}\n  how: {record.how}"
            if record.status in {Outcome.SKIPPED, Outcome.BLOCKED}:
                pytest.skip(record.message)
            if record.status is Outcome.KNOWN_GAP:
                pytest.xfail(record.message)
            if record.status is Outcome.FAILED:
                pytest.fail(text, pytrace=False)

        return call

    ids = [item.id for item in table.all_checks()] + [r.id for r in table.unknown_gaps(gaps)]
    return pytest.mark.parametrize("check", [pytest.param(runner(i), id=i) for i in ids])
