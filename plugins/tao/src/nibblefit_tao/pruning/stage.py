"""The prune stage: rank, choose or solve for the threshold, cut, and write down what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from nibblefit.charts import KEY, as_entry
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Mask, Model
from nibblefit.pruning.cutting import Cut, cut
from nibblefit.run import Run
from nibblefit.workspace.storage import write_file
from nibblefit_tao.looking.charts import charts_for
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.pruning.decisions import decide
from nibblefit_tao.pruning.look import Look, look_at, threshold_for, warnings_of
from nibblefit_tao.pruning.plan import plan_of, write_plan
from nibblefit_tao.pruning.settings import Goal
from nibblefit_tao.sizes import ratio_in_words, size_of

PLAN_FILE = "plan.json"
CURVE_FILE = "curve.json"


def prune(run: Run, model: Model) -> Model:
    """Return the smaller model; the plan and the curve go to the step's folder."""
    options: TaoOptions = run.options
    look = look_at(model.graph, options.prune_settings())
    goal = Goal(options.ratio, options.macs, options.weight_bytes)
    threshold = threshold_for(look, options.threshold, goal)
    what = decide(look.coupling, look.rankings, threshold)
    small = cut(what)
    before, after = size_of(model.graph), size_of(small)
    run.reporter.say(f"{run.step}: threshold {threshold:.4g}, {ratio_in_words(before, after)}")
    for warning in warnings_of(look, threshold):
        run.reporter.warn(warning)
    write_plan(plan_of(what, threshold), run.folder / PLAN_FILE)
    text = json.dumps(look.curve.columns(), indent=1) + "\n"
    write_file(run.folder / CURVE_FILE, text.encode())
    charts = [as_entry(chart) for chart in charts_for(look, threshold)]
    extra = {
        **model.extra,
        "pruning": {"threshold": threshold, "ratio": after.parameters / before.parameters,
                    **{f"{name}_before": count for name, count in asdict(before).items()}},
        "tables": [*model.extra.get("tables", ()), _table(look, what, threshold)],
        KEY: [*model.extra.get(KEY, ()), *charts],
    }  # fmt: skip
    return replace(model, graph=small, masks=_masks(what, model.masks), extra=frozen_mapping(extra))


def _masks(what: Cut, masks: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """Return masks of single weights, without the filters that are gone."""
    smaller = {}
    for name, mask in masks.items():
        small = mask
        for axis in range(mask.ndim):
            small = small.take(what.kept(name, axis), axis=axis)
        smaller[name] = small
    return frozen_mapping(smaller)


def _table(look: Look, what: Cut, threshold: float) -> dict[str, object]:
    """Return every group with its layers, scores and how many filters stay."""
    rows: list[Sequence[object]] = []
    for ranking in look.rankings:
        group = ranking.group
        for member in group.members:
            kept = int(np.count_nonzero(what.stays(member.classes)))
            rows.append([
                ", ".join(member.layers), group.name, len(member.classes), kept,
                *(round(float(np.quantile(ranking.scores, q)), 4) for q in (0.0, 0.5, 1.0)),
                round(ranking.limit(threshold), 4), ranking.whole,
            ])  # fmt: skip
    columns = ["layer", "group", "filters", "kept", "lowest score", "median", "highest",
               "threshold", "why whole"]  # fmt: skip
    return {"title": "Pruned filters", "columns": columns, "rows": rows}
