"""Whether the executions of an integer graph agreed, as evaluations report it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nibblefit.results import Finding, Report, Status

#: Family of the findings in which an evaluation reports on a comparison of every integer.
FAMILY = "exact"


@dataclass(frozen=True, slots=True)
class Exactness:
    """Outcome of comparing executions integer by integer.

    Attributes:
        verdict: ``exact``, ``differs`` or ``not compared``.
        messages: What each comparison found.
        brief: The same in a few words.
    """

    verdict: str
    messages: tuple[str, ...]
    brief: str = ""


def exactness_findings(report: Report) -> tuple[Finding, ...]:
    """Return the findings of a report that are about exact agreement."""
    return tuple(f for f in report.findings if f.rule.partition(".")[0] == FAMILY)


def exactness_of(reports: Iterable[Report]) -> Exactness | None:
    """Return the outcome over all reports, None if nothing was compared."""
    findings = [finding for report in reports for finding in exactness_findings(report)]
    if not findings:
        return None
    states = {finding.status for finding in findings}
    verdict = "exact" if Status.PASSED in states else "not compared"
    if Status.FAILED in states:
        verdict = "differs"
    messages = tuple(dict.fromkeys(finding.message for finding in findings))
    brief = ", ".join(dict.fromkeys(_brief(finding) for finding in findings))
    return Exactness(verdict, messages, brief)


def _brief(finding: Finding) -> str:
    """Return ``engine: 1,234 integers`` where the finding counts them, else how it ended."""
    subject = finding.rule.partition(".")[2].replace("_", " ")
    if finding.unit == "integers" and finding.value is not None:
        return f"{subject}: {finding.value:,.0f} integers"
    return f"{subject}: {finding.status.value.replace('_', ' ')}"
