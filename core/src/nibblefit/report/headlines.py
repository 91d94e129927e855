"""The numbers at the top of a report: accuracy per phase, size, bit-exactness."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.report import wording
from nibblefit.report.contents import Headline, Tone
from nibblefit.report.exactness import exactness_of
from nibblefit.results import Report


def headlines(reports: Sequence[tuple[str, Report]], floats: Sequence[tuple[str, int]],
              graphs: Sequence[tuple[str, int]]) -> tuple[Headline, ...]:  # fmt: skip
    """Return the headline numbers.

    Args:
        reports: Evaluate step → report, in the order of the run.
        floats: Step → bytes of its float model.
        graphs: Step → bytes of its integer graph.
    """
    return (*_accuracies(reports), *_size(floats, graphs), *_exactness(reports))


def leading_metric(reports: Sequence[Report]) -> str:
    """Return the metric that stands for accuracy: the first share of one, else the first."""
    names = [name for report in reports for name in report.metrics]
    return next((n for n in names if wording.is_fraction(n)), names[0] if names else "")


def _accuracies(reports: Sequence[tuple[str, Report]]) -> list[Headline]:
    name = leading_metric([report for _, report in reports])
    measured = [report for _, report in reports if name in report.metrics]
    found = []
    for index, report in enumerate(measured):
        value = report.metrics[name]
        detail, tone = name, Tone.PLAIN
        if index and wording.is_fraction(name):
            change = measured[0].metrics[name] - value
            word = "gain" if change < 0 else "drop"
            detail = f"{name}, {word} {wording.drop(abs(change))}"
        if index == len(measured) - 1 and index:
            tone = Tone.BAD if report.failed else Tone.GOOD
        found.append(Headline(_capital(report.subject), wording.metric(name, value), detail, tone))
    return found


def _size(floats: Sequence[tuple[str, int]], graphs: Sequence[tuple[str, int]]) -> list[Headline]:
    if not graphs:
        return []
    stored = graphs[-1][1]
    detail = "weights, biases, tables"
    if floats and stored:
        before = floats[0][1]
        detail = f"float32 {wording.size(before)}, {before / stored:.1f} times smaller"
    return [Headline("Size of constants", wording.size(stored), detail)]


def _exactness(reports: Sequence[tuple[str, Report]]) -> list[Headline]:
    exactness = exactness_of(report for _, report in reports)
    if exactness is None:
        return []
    tones = {"exact": Tone.GOOD, "differs": Tone.BAD}
    tone = tones.get(exactness.verdict, Tone.PLAIN)
    return [Headline("Bit-exactness", exactness.verdict, exactness.brief, tone)]


def _capital(text: str) -> str:
    return "QAT" + text[3:] if text.startswith("qat ") else text[:1].upper() + text[1:]
