"""Memory plans of the vendor's networks: ours, made from the graph alone, beside the vendor's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.section import Grid, Section
from nibblefit_maxim.proving.comparison import plan_comparison

#: A training step with quantization may take this many plain torch steps.
QAT_STEP_LIMIT = 1.3


def measure(nets: Path) -> Section:
    """Plan every network anew and compare."""
    grid = Grid(
        "",
        ("network", "part", "layers ours / vendor", "weight words ours / vendor",
         "cycles ours / vendor", "cycles ratio", "proven", "planned in s"),
        [_row(row) for row in plan_comparison(nets)],
        "Weight words of the fullest processor. Both plans are proven on the word-accurate memory "
        "model; cycles are the vendor tool's own formula for the MAX78000, and our estimate for "
        "the MAX78002.",
    )  # fmt: skip
    return Section("maxim_plans", "MAX78000/78002 memory plans", "make results", [grid])


def _row(row: dict[str, Any]) -> list[str]:
    ratio = row["cycles_ours"] / row["cycles_vendor"]
    return [
        row["net"], row["part"], f"{row['layers_ours']} / {row['layers_vendor']}",
        f"{row['weight_words_ours']} / {row['weight_words_vendor']}",
        f"{row['cycles_ours']:,.0f} / {row['cycles_vendor']:,.0f}", f"{ratio:.3f}",
        "yes" if row["is_proven"] else "NO", f"{row['seconds']:.2f}",
    ]  # fmt: skip


def qat_steps() -> Section:
    """Time training steps with quantization beside plain torch steps."""
    from benchmarks.maxim_qat import qat_step_ratio

    rows = [
        [r.network, r.batch, r.quantile, f"{r.plain_ms:.1f}", f"{r.qat_ms:.1f}", f"{r.ratio:.2f}",
         "yes" if r.ratio <= QAT_STEP_LIMIT else "NO"]
        for r in qat_step_ratio()
    ]  # fmt: skip
    columns = ("network", "batch", "shift quantile", "plain step ms", "QAT step ms", "ratio",
               f"at most {QAT_STEP_LIMIT:g}")  # fmt: skip
    note = (
        "Forward, backward, SGD, one thread; the steps of both kinds take turns. Ratio: median of "
        "the pairs. The vendor's own training takes 1.5 to 2.1 plain steps."
    )
    return Section(
        "maxim_qat", "MAX78000 training step", "make bench", [Grid("", columns, rows, note)]
    )
