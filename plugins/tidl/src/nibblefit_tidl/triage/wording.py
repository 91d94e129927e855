"""A triage as tables and as JSON."""

from __future__ import annotations

import math
from typing import Any

from nibblefit.results import Table
from nibblefit_tidl.triage.differences import LayerError
from nibblefit_tidl.triage.procedure import Procedure
from nibblefit_tidl.triage.ranking import Gain, Ranking
from nibblefit_tidl.triage.results import Triage
from nibblefit_tidl.triage.stability import Stability
from nibblefit_tidl.triage.traces.checking import TraceCheck

#: Ranges shown; the least settled come first.
_SPREADS = 12


def layer_table(triage: Triage) -> Table:
    """Return one row per layer: its error against the float network."""
    columns = ("layer id", "data id", "name", "operator", "format", "SNR [dB]", "mean |diff|",
               "max |diff|", "max / range", "cosine", "saturated")  # fmt: skip
    rows = tuple(
        (
            e.layer.layer_id, e.layer.data_id, e.layer.name, e.layer.op, e.format,
            finite(e.decibels, 2), e.mean_abs, e.max_abs, finite(e.relative, 5),
            round(e.cosine, 6), e.saturated,
        )
        for e in triage.errors
    )  # fmt: skip
    return Table(f"Float against integers, {triage.frames} samples", columns, rows)


def ranking_table(ranking: Ranking) -> Table:
    """Return the layers by what 16 bits in each bring, then the choices of several layers."""
    columns = ("16 bits for", "operator", "outputs [dB]", "gain [dB]", "time", "hint")
    rows = [_gain_row(gain, gain.names[0]) for gain in ranking.gains]
    named = (("suggested", ranking.suggested), ("first and last convolution", ranking.rule),
             ("everything", ranking.everywhere))  # fmt: skip
    rows += [_gain_row(gain, name) for name, gain in named if gain is not None]
    base = finite(ranking.base, 2)
    title = f"Measured gain of 16 bits, {ranking.frames} samples, outputs at {base} dB without"
    return Table(title, columns, tuple(rows))


def _gain_row(gain: Gain, name: str) -> tuple[Any, ...]:
    hint = gain.hint or (", ".join(gain.names) if len(gain.names) > 1 else "")
    return (name, gain.op, finite(gain.decibels, 2), finite(gain.gain, 2), round(gain.latency, 3),
            hint)  # fmt: skip


def stability_table(stability: Stability) -> Table:
    """Return the ranges that the halves of the calibration set give, least settled first."""
    columns = ("tensor", "first half", "second half", "apart [%]", "bits apart")
    rows = tuple(
        (s.tensor, _range(s.first), _range(s.second), round(100 * s.apart, 2), finite(s.bits, 3))
        for s in stability.spreads[:_SPREADS]
    )
    return Table(f"Ranges of two halves of {stability.samples} samples", columns, rows)


def procedure_table(procedure: Procedure) -> Table:
    """Return TI's settings in order."""
    columns = ("tensor_bits", procedure.metric or "metric", "drop", "outputs [dB]", "note")
    rows = tuple(
        (s.name, finite(s.metric, 4), finite(s.drop, 4), finite(s.decibels, 2), s.note)
        for s in procedure.settings
    )
    return Table("TI's procedure on this network", columns, rows)


def trace_table(check: TraceCheck) -> Table:
    """Return one row per traced tensor."""
    columns = ("data id", "name", "differing", "of", "beyond one step", "largest", "by itself",
               "float [dB]", "step ratio", "looks like")  # fmt: skip
    rows = tuple(
        (
            e.data_id, e.layer.name, e.count, e.size, e.beyond, e.largest, e.own,
            finite(e.float_decibels, 2), finite(e.step_ratio, 4), e.cause,
        )
        for e in check.errors
    )  # fmt: skip
    return Table("Traces against our integers", columns, rows)


def tables_of(triage: Triage) -> tuple[Table, ...]:
    """Return every table that has rows."""
    found = [layer_table(triage)]
    if triage.ranking is not None and triage.ranking.gains:
        found.append(ranking_table(triage.ranking))
    if triage.stability is not None and triage.stability.spreads:
        found.append(stability_table(triage.stability))
    if triage.procedure is not None and triage.procedure.settings:
        found.append(procedure_table(triage.procedure))
    if triage.traces is not None:
        found.append(trace_table(triage.traces))
    return tuple(found)


def json_of(triage: Triage) -> dict[str, Any]:
    """Return the triage as plain data; what is infinite or missing is null."""
    return {
        "target": triage.target,
        "part": triage.part,
        "frames": triage.frames,
        "verdicts": list(triage.verdicts),
        "layers": [_layer_json(error) for error in triage.errors],
        "ranking": _ranking_json(triage.ranking),
        "calibration": _stability_json(triage.stability),
        "procedure": _procedure_json(triage.procedure),
        "traces": _traces_json(triage.traces),
    }


def _layer_json(e: LayerError) -> dict[str, Any]:
    return {
        "layer_id": e.layer.layer_id, "data_id": e.layer.data_id, "name": e.layer.name,
        "operator": e.layer.op, "nodes": list(e.layer.nodes), "format": e.format, "step": e.step,
        "values": e.values, "mean_abs": e.mean_abs, "max_abs": e.max_abs,
        "decibels": finite(e.decibels), "cosine": e.cosine, "relative": finite(e.relative),
        "saturated_low": e.saturated_low, "saturated_high": e.saturated_high,
    }  # fmt: skip


def _gain_json(gain: Gain | None) -> dict[str, Any] | None:
    if gain is None:
        return None
    return {"names": list(gain.names), "operator": gain.op, "decibels": finite(gain.decibels),
            "gain": finite(gain.gain), "latency": gain.latency, "hint": gain.hint}  # fmt: skip


def _ranking_json(ranking: Ranking | None) -> dict[str, Any] | None:
    if ranking is None:
        return None
    return {
        "skipped": ranking.skipped, "frames": ranking.frames, "base": finite(ranking.base),
        "gains": [_gain_json(gain) for gain in ranking.gains],
        "suggested": _gain_json(ranking.suggested), "rule": _gain_json(ranking.rule),
        "everywhere": _gain_json(ranking.everywhere),
    }  # fmt: skip


def _stability_json(stability: Stability | None) -> dict[str, Any] | None:
    if stability is None:
        return None
    spreads = [
        {"tensor": s.tensor, "first": list(s.first), "second": list(s.second), "apart": s.apart,
         "bits": finite(s.bits)}
        for s in stability.spreads
    ]  # fmt: skip
    return {"samples": stability.samples, "too_few": stability.too_few,
            "skipped": stability.skipped, "ranges": spreads}  # fmt: skip


def _procedure_json(procedure: Procedure | None) -> dict[str, Any] | None:
    if procedure is None:
        return None
    settings = [
        {"name": s.name, "metric": finite(s.metric), "drop": finite(s.drop),
         "decibels": finite(s.decibels), "note": s.note}
        for s in procedure.settings
    ]  # fmt: skip
    return {"metric": procedure.metric, "budget": procedure.budget, "settings": settings,
            "verdict": procedure.verdict, "skipped": procedure.skipped}  # fmt: skip


def _traces_json(check: TraceCheck | None) -> dict[str, Any] | None:
    if check is None:
        return None
    errors = [
        {"data_id": e.data_id, "name": e.layer.name, "differing": e.count, "size": e.size,
         "beyond": e.beyond, "largest": e.largest, "own": e.own, "cause": e.cause,
         "advice": e.advice, "index": None if e.index is None else list(e.index),
         "expected": e.expected, "actual": e.actual, "float_decibels": finite(e.float_decibels),
         "step_ratio": finite(e.step_ratio)}
        for e in check.errors
    ]  # fmt: skip
    return {"tensors": errors, "problems": list(check.problems)}


def finite(value: float | None, digits: int = 15) -> float | None:
    """Return a number rounded; None for what is missing, infinite or undefined."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _range(found: tuple[float, float]) -> str:
    return f"{found[0]:.4g} … {found[1]:.4g}"
