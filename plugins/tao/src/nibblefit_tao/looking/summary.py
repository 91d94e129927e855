"""What there is to see before cutting, as JSON and as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.results import Table
from nibblefit.workspace.storage import write_file
from nibblefit_tao.pruning.curve import curve
from nibblefit_tao.pruning.stage import Look
from nibblefit_tao.sizes import MIB

#: Bins of a group's histogram.
BINS = 20
#: Thresholds that the table shows; TAO's tutorials use 0.1 to 0.7.
SHOWN = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


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
    """Return what the usual thresholds would leave."""
    found = curve(look.coupling, look.rankings, SHOWN)
    rows = [
        (threshold, round(float(ratio), 4), int(parameters), int(macs), round(size / MIB, 3))
        for threshold, ratio, parameters, macs, size in zip(
            found.thresholds.tolist(), found.ratios, found.parameters, found.macs,
            found.weight_bytes, strict=True,
        )
    ]  # fmt: skip
    columns = ("threshold", "ratio that remains", "parameters", "MACs", "weights (MiB)")
    return Table("What each threshold leaves", columns, tuple(rows))


def as_json(look: Look, threshold: float | None = None) -> dict[str, Any]:
    """Return histograms and curve, and a threshold that was solved for."""
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
    found = look.curve
    solved = {} if threshold is None else {"threshold": threshold}
    return {
        **solved,
        "groups": groups,
        "kept_whole": dict(look.coupling.reasons),
        "curve": {
            "threshold": found.thresholds.round(9).tolist(),
            "ratio": found.ratios.round(9).tolist(),
            "parameters": found.parameters.tolist(),
            "macs": found.macs.tolist(),
            "weight_bytes": found.weight_bytes.tolist(),
        },
    }


def write_look(look: Look, threshold: float | None, folder: Path) -> None:
    """Write look.json and look.png."""
    from nibblefit_tao.looking.drawing import picture

    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(as_json(look, threshold), indent=1) + "\n"
    write_file(folder / "look.json", text.encode())
    write_file(folder / "look.png", picture(look, threshold))
