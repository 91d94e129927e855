"""A triage as one HTML file that needs no other, laid out like core's reports."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nibblefit.report.contents import Bar, Bars, Contents, Headline, Image, Tone
from nibblefit.report.page import page
from nibblefit.report.plots import noise_chart
from nibblefit.results import Finding, Status, Table
from nibblefit_tidl.triage.figures import SCATTERS, Drawings
from nibblefit_tidl.triage.ranking import Ranking
from nibblefit_tidl.triage.results import Triage
from nibblefit_tidl.triage.wording import finite, tables_of


def triage_page(triage: Triage, drawings: Drawings, title: str, folder: str) -> str:
    """Return the triage as HTML.

    Raises:
        MissingExtraError: The extra ``report`` is not installed.
    """
    return page(contents_of(triage, drawings, title, folder))


def contents_of(triage: Triage, drawings: Drawings, title: str, folder: str) -> Contents:
    """Return what the page shows."""
    # A chart of ratios shows what has none as exact; noise without signal is the opposite.
    rows = tuple(
        (e.layer.name, 0.0 if e.decibels == -math.inf else finite(e.decibels, 2))
        for e in triage.errors
    )
    noise = noise_chart("triage", Table("Signal to noise per layer", ("layer", "SNR [dB]"), rows))
    charts = [chart for chart in (noise, _gains(triage.ranking)) if chart is not None]
    return Contents(
        title=f"Triage of {title}", target=triage.target, part=triage.part, folder=folder,
        headlines=tuple(_headlines(triage)), noise=tuple(charts),
        images=(
            Image("Float against integer", drawings.scatter,
                  f"Every value on the line is right. Of more than {SCATTERS} layers, those with "
                  "the lowest ratio."),
            Image("Signal to noise in order of execution", drawings.ratios,
                  "Data ids in brackets; the dashed line is four bits of signal."),
        ),
        findings=tuple(("triage", finding) for finding in findings_of(triage)),
        tables=tuple(("triage", table) for table in tables_of(triage)),
    )  # fmt: skip


def findings_of(triage: Triage) -> tuple[Finding, ...]:
    """Return what calls for action, and what is well."""
    return tuple(_findings(triage))


def _findings(triage: Triage) -> Iterator[Finding]:
    ranking, stability, procedure = triage.ranking, triage.stability, triage.procedure
    if ranking is not None:
        chosen = ranking.suggested
        hint = f"target.output_feature_16bit_names = {list(chosen.names)}" if chosen else ""
        yield Finding("triage.widths", _status(ranking.skipped, bad=chosen is not None),
                      ranking.verdict, hint=hint)  # fmt: skip
    if stability is not None:
        yield Finding("triage.calibration", _status(stability.skipped, bad=stability.too_few),
                      stability.verdict)  # fmt: skip
    if procedure is not None:
        lost = any((row.drop or 0.0) > procedure.budget for row in procedure.settings)
        yield Finding("triage.procedure", _status(procedure.skipped, bad=lost),
                      procedure.skipped or procedure.verdict)  # fmt: skip
    for error in triage.errors:
        if error.saturated:
            yield Finding(
                "triage.saturation", Status.WARNING,
                f"{error.saturated} of {error.values} codes of '{error.layer.name}' are saturated",
                error.layer.name, "calibrate on more samples, or clip less",
            )  # fmt: skip
    if triage.traces is not None:
        first = triage.traces.first_beyond
        status = Status.PASSED if first is None else Status.FAILED
        yield Finding("triage.traces", status, triage.traces.verdict,
                      hint=first.advice if first is not None else "")  # fmt: skip
        for problem in triage.traces.problems:
            yield Finding("triage.traces", Status.WARNING, problem)


def _status(skipped: str, *, bad: bool) -> Status:
    if skipped:
        return Status.SKIPPED
    return Status.WARNING if bad else Status.PASSED


def _headlines(triage: Triage) -> Iterator[Headline]:
    worst = triage.worst
    yield Headline("lowest signal to noise", f"{worst.decibels:.1f} dB", worst.layer.name)
    if triage.stability is not None and not triage.stability.skipped:
        few = triage.stability.too_few
        yield Headline("calibration", "too few samples" if few else "settled",
                       f"{triage.stability.samples} samples",
                       Tone.BAD if few else Tone.GOOD)  # fmt: skip
    if triage.traces is not None:
        first = triage.traces.first_beyond
        yield Headline("traces", "agree" if first is None else "differ",
                       first.layer.name if first is not None else "within one step",
                       Tone.GOOD if first is None else Tone.BAD)  # fmt: skip


def _gains(ranking: Ranking | None) -> Bars | None:
    gains = [gain for gain in ranking.gains if gain.gain > 0] if ranking is not None else []
    if not gains:
        return None
    top = max(finite(gain.gain) or 0.0 for gain in gains) or 1.0
    bars = tuple(
        Bar(gain.names[0], min(1.0, gain.gain / top), f"{gain.gain:.2f} dB",
            f"time ×{gain.latency:.2f} {gain.hint}".strip())
        for gain in gains
    )  # fmt: skip
    return Bars("Gain of 16 bits in one layer alone", bars, "Measured at the network's outputs.")
