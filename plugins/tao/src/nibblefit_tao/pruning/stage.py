"""The prune stage: rank, choose or solve for the threshold, cut, and write down what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nibblefit.errors import LimitError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Mask, Model
from nibblefit.pruning.coupling import Coupling, couple
from nibblefit.pruning.cutting import Cut, cut
from nibblefit.run import Run
from nibblefit.workspace.storage import write_file
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.pruning.curve import Curve, curve, solve
from nibblefit_tao.pruning.decisions import Ranking, decide, rank
from nibblefit_tao.pruning.plan import plan_of, write_plan
from nibblefit_tao.sizes import ratio_in_words, size_of

PLAN_FILE = "plan.json"
CURVE_FILE = "curve.json"
_NOTHING = (
    "threshold {threshold:.4g} removes nothing: the weakest filter scores {lowest:.4g}; see "
    "curve.json for what each threshold leaves, set target.ratio to solve for one, or train longer "
    "with L1 so that filters die"
)
_FLOOR = (
    "{floored} of {all} groups of layers are cut down to their least number of filters: the "
    "threshold is above nearly all scores; expect a large loss"
)
#: Points of the curve that every pruning writes.
_POINTS = 101


@dataclass(frozen=True, slots=True)
class Look:
    """A network looked at before cutting.

    Attributes:
        coupling: Which filters belong together.
        rankings: Every group, ranked.
        curve: What thresholds from 0 to the largest score would leave.
    """

    coupling: Coupling
    rankings: tuple[Ranking, ...]
    curve: Curve


def look_at(model: Model, options: TaoOptions) -> Look:
    """Return what there is to see before cutting.

    Raises:
        RecipeError: A layer that is named does not exist.
        LimitError: Nothing in the network can be pruned.
    """
    coupling = couple(model.graph)
    if not coupling.groups:
        raise LimitError(
            "no filter of this network can be removed: all of them reach its outputs directly",
            hint="set target.prune = false, or use a network with more than one layer",
        )
    rankings = rank(coupling, options.prune_settings())
    top = max((float(r.scores.max()) for r in rankings), default=1.0)
    return Look(coupling, rankings, curve(coupling, rankings, np.linspace(0, top, _POINTS)))


def prune(run: Run, model: Model) -> Model:
    """Return the smaller model; the plan and the curve go to the step's folder."""
    options: TaoOptions = run.options
    look = look_at(model, options)
    threshold = threshold_for(look, options)
    what = decide(look.coupling, look.rankings, threshold)
    small = cut(what)
    before, after = size_of(model.graph), size_of(small)
    run.reporter.say(f"{run.step}: threshold {threshold:.4g}, {ratio_in_words(before, after)}")
    for warning in warnings_of(look, what, threshold):
        run.reporter.warn(warning)
    write_plan(plan_of(what, threshold), run.folder / PLAN_FILE)
    write_file(run.folder / CURVE_FILE, curve_text(look.curve).encode())
    facts = {
        "threshold": threshold,
        "ratio": after.parameters / before.parameters,
        "parameters_before": before.parameters,
        "macs_before": before.macs,
    }
    tables = [*model.extra.get("tables", ()), _table(look, what, threshold)]
    extra = {**model.extra, "pruning": facts, "tables": tables}
    return replace(model, graph=small, masks=_masks(what, model.masks), extra=frozen_mapping(extra))


def threshold_for(look: Look, options: TaoOptions) -> float:
    """Return the threshold that is asked for, or solve for it."""
    if options.ratio is None and options.macs is None and options.weight_bytes is None:
        return options.threshold
    return solve(look.coupling, look.rankings, ratio=options.ratio, macs=options.macs,
                 weight_bytes=options.weight_bytes)  # fmt: skip


def warnings_of(look: Look, what: Cut, threshold: float) -> list[str]:
    """Return what the user should know before retraining."""
    free = [ranking for ranking in look.rankings if not ranking.whole]
    scores = np.concatenate([ranking.scores for ranking in free] or [np.zeros(0, dtype=np.float32)])
    if not len(what.removed):
        lowest = float(scores.min()) if len(scores) else float("nan")
        return [_NOTHING.format(threshold=threshold, lowest=lowest)]
    floored = [r.group.name for r in free if r.kept_count(threshold) == r.kept_count(np.inf)]
    if 2 * len(floored) > len(free):
        return [_FLOOR.format(floored=len(floored), all=len(free))]
    return []


def curve_text(found: Curve) -> str:
    """Return a curve as JSON: one list for each column."""
    columns = {
        "threshold": found.thresholds.round(9).tolist(),
        "ratio": found.ratios.round(9).tolist(),
        "parameters": found.parameters.tolist(),
        "macs": found.macs.tolist(),
        "weight_bytes": found.weight_bytes.tolist(),
    }
    return json.dumps(columns, indent=1) + "\n"


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
                round(threshold if ranking.own is None else ranking.own, 4), ranking.whole,
            ])  # fmt: skip
    columns = ["layer", "group", "filters", "kept", "lowest score", "median", "highest",
               "threshold", "why whole"]  # fmt: skip
    return {"title": "Pruned filters", "columns": columns, "rows": rows}
