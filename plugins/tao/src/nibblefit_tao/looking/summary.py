"""What there is to see before cutting, as JSON, as tables and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.results import Table
from nibblefit.workspace.storage import make_folder, write_file
from nibblefit_tao.looking.charts import BINS, charts_for
from nibblefit_tao.pruning.curve import curve, steps
from nibblefit_tao.pruning.look import Look
from nibblefit_tao.sizes import MIB

#: Thresholds that the table shows in any case: TAO's default and what its tutorials use.
_USUAL = (0.1, 0.3, 0.5, 0.7)
#: Ratios whose thresholds the table shows; TAO's examples end near the last ones.
_RATIOS = (0.9, 0.75, 0.5, 0.35, 0.25, 0.2, 0.1)


def groups_table(look: Look) -> Table:
    """Return every group of coupled layers with its scores."""
    rows = [
        (
            ", ".join(member.layer for member in ranking.group.members),
            len(ranking.scores),
            *(round(float(np.quantile(ranking.scores, q)), 4) for q in (0.0, 0.25, 0.5, 1.0)),
            ranking.whole,
        )
        for ranking in look.rankings
    ]
    columns = ("layers that go together", "filters", "lowest", "lower quarter", "median",
               "highest", "stays whole because")  # fmt: skip
    return Table("Normalized norms", columns, tuple(rows))


def curve_table(look: Look) -> Table:
    """Return what the usual thresholds would leave, and those at which the ratio falls."""
    every = curve(look.coupling, look.rankings, steps(look.rankings))
    falling = [every.thresholds[np.argmax(every.ratios <= ratio)] for ratio in _RATIOS
               if every.ratios[-1] <= ratio]  # fmt: skip
    found = curve(look.coupling, look.rankings, sorted({*_USUAL, *falling}))
    rows = [
        (round(threshold, 6), round(100 * float(ratio), 1), int(parameters), int(macs),
         round(size / MIB, 3))
        for threshold, ratio, parameters, macs, size in zip(
            found.thresholds.tolist(), found.ratios, found.parameters, found.macs,
            found.weight_bytes, strict=True,
        )
    ]  # fmt: skip
    columns = ("threshold", "% that remain", "parameters", "MACs", "weights (MiB)")
    return Table("What each threshold leaves", columns, tuple(rows))


def as_json(look: Look, threshold: float | None = None) -> dict[str, Any]:
    """Return histograms and curve, and the threshold that is looked at."""
    groups = []
    for ranking in look.rankings:
        counts, edges = np.histogram(ranking.scores, bins=BINS)
        groups.append({
            "layers": [layer for m in ranking.group.members for layer in m.layers],
            "filters": len(ranking.scores),
            "whole": ranking.whole,
            "edges": edges.round(6).tolist(),
            "counts": counts.tolist(),
        })  # fmt: skip
    return {
        **({} if threshold is None else {"threshold": threshold}),
        "groups": groups,
        "kept_whole": dict(look.coupling.reasons),
        "curve": look.curve.columns(),
    }


def write_look(look: Look, threshold: float | None, folder: Path) -> None:
    """Write look.json and look.png.

    Raises:
        MissingExtraError: The extra ``report`` is not installed.
    """
    from nibblefit.report.chart_figures import charts_png

    text = json.dumps(as_json(look, threshold), indent=1) + "\n"
    make_folder(folder)
    write_file(folder / "look.json", text.encode())
    write_file(folder / "look.png", charts_png(charts_for(look, threshold)))
