"""The numbers at the top of a report: accuracy per phase, size, bit-exactness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nibblefit.report import wording
from nibblefit.report.comparison import pruned_share, share_before
from nibblefit.report.contents import Headline, Measured, Tone
from nibblefit.report.exactness import exactness_of
from nibblefit.report.sizes import NetworkSizes
from nibblefit.results import Report

#: What evaluate steps of a plan are called before the step that they measure.
_EVALUATE = "evaluate_"


def headlines(measured: Sequence[Measured], metric: str, reports: Mapping[str, Report],
              sizes: NetworkSizes) -> tuple[Headline, ...]:  # fmt: skip
    """Return the headline numbers.

    Args:
        measured: Evaluations in the order of the run; earlier rounds and candidates that lost are
            left out.
        metric: Metric that stands for accuracy.
        reports: Evaluate step → report.
        sizes: Sizes of the networks.
    """
    shown = [one for one in measured if one.final and metric in one.metrics]
    return (
        *_accuracies(shown, metric, reports),
        *_size(sizes),
        *_pruned(measured),
        *_exactness(reports.values()),
    )


def _pruned(measured: Sequence[Measured]) -> list[Headline]:
    share = pruned_share(measured)
    if share is None:
        return []
    before = share_before(measured)
    detail = "of the weights are zero"
    if before is not None:
        detail += f", {wording.metric('sparsity', before)} before quantization"
    return [Headline("Pruned", wording.metric("sparsity", share), detail)]


def _accuracies(measured: Sequence[Measured], metric: str,
                reports: Mapping[str, Report]) -> list[Headline]:  # fmt: skip
    found = []
    subjects = [one.subject for one in measured]
    for index, one in enumerate(measured):
        detail, tone = metric, Tone.PLAIN
        if one.drop is not None and wording.is_fraction(metric):
            change = wording.change(one.drop)
            detail = f"{metric}, {'no change' if change == 'none' else change}"
        if index == len(measured) - 1 and index:
            tone = Tone.BAD if reports[one.step].failed else Tone.GOOD
        value = wording.metric(metric, one.metrics[metric])
        subject = _capital(one.subject)
        if subjects.count(one.subject) > 1:
            subject += f" ({one.step.removeprefix(_EVALUATE)})"
        found.append(Headline(subject, value, detail, tone))
    return found


def _size(sizes: NetworkSizes) -> list[Headline]:
    if sizes.integer_bytes is None:
        return []
    detail = sizes.comparison or "weights, biases, tables"
    return [Headline("Size of constants", wording.size(sizes.integer_bytes), detail)]


def _exactness(reports: Iterable[Report]) -> list[Headline]:
    exactness = exactness_of(reports)
    if exactness is None:
        return []
    tones = {"exact": Tone.GOOD, "differs": Tone.BAD}
    tone = tones.get(exactness.verdict, Tone.PLAIN)
    return [Headline("Bit-exactness", exactness.verdict, exactness.brief, tone)]


def _capital(text: str) -> str:
    return "QAT" + text[3:] if text.startswith("qat ") else text[:1].upper() + text[1:]
