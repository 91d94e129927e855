"""Walking a plan: steps in order, gates that stop it, rounds, and searches over candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nibblefit.errors import LimitError, PluginError, RecipeError
from nibblefit.plan import Candidates, Gate, PlanItem, Repeat, Stage, Step
from nibblefit.recipe_file import override_recipe, target_options
from nibblefit.results import Report, Table
from nibblefit.runner.gates import (
    check_gate,
    closed,
    limit_text,
    metric_name,
    metric_of,
)
from nibblefit.runner.ingredients import Setting
from nibblefit.runner.outcome import GateRecord, SearchRecord
from nibblefit.runner.planning import TAKES, Selection, steps_of
from nibblefit.runner.refusals import OWN_ERRORS
from nibblefit.runner.steps import Order, Result, StepRunner
from nibblefit.tasks.protocol import rises
from nibblefit.workspace import Kind, Place


@dataclass(frozen=True, slots=True)
class State:
    """Where a walk stands; walking returns a new one.

    Attributes:
        setting: The recipe in force.
        results: Plain step name → its latest result, oldest first.
        place: Folder the next items go to.
        suffix: What rounds and candidates add to step names, such as ``@fast``.
        candidate: Whether it stands inside a candidate of a search.
    """

    setting: Setting
    results: Mapping[str, Result] = field(default_factory=dict)
    place: Place = ()
    suffix: str = ""
    candidate: bool = False

    def with_result(self, name: str, result: Result) -> State:
        """Return the state after a step; a repeated step moves to the end."""
        others = {key: value for key, value in self.results.items() if key != name}
        return replace(self, results={**others, name: result})


@dataclass(frozen=True, slots=True)
class _Tried:
    """One candidate: its state if it got to the end, its report, and whether it may win."""

    name: str
    state: State | None
    report: Report | None
    eligible: bool
    note: str


class Walker:
    """Walks the items of a plan.

    Attributes:
        gates: Every gate met, in order.
        searches: Every search finished, in order.
    """

    def __init__(self, runner: StepRunner, selection: Selection) -> None:
        self.runner = runner
        self.selection = selection
        self.gates: list[GateRecord] = []
        self.searches: list[SearchRecord] = []
        self._only_reuse = False

    def walk(self, plan: Sequence[PlanItem], state: State) -> State:
        """Walk the selected part of a plan and return the state after it.

        Raises:
            LimitError: A gate is closed, a repeat or a search ended without success.
        """
        for index, item in enumerate(plan[: self.selection.stop]):
            self._only_reuse = index < self.selection.start
            state = self._item(item, index, state)
        return state

    def _items(self, items: Sequence[PlanItem], state: State) -> State:
        for index, item in enumerate(items):
            state = self._item(item, index, state)
        return state

    def _item(self, item: PlanItem, index: int, state: State) -> State:
        folder = f"{index + 1:02d}-{item.name}"
        match item:
            case Step():
                return self._step(item, folder, state)
            case Gate():
                record = self._gate(item, state)
                if not record.holds:
                    raise closed(item, record)
                return state
            case Repeat():
                return self._repeat(item, folder, state)
            case Candidates():
                return self._search(item, folder, state)

    def _step(self, step: Step, folder: str, state: State) -> State:
        inputs = _inputs(step, state)
        compares = step.stage is Stage.EVALUATE or step.needs_reference
        order = Order(
            step=step,
            name=step.name + state.suffix,
            place=(*state.place, folder),
            setting=state.setting,
            inputs=inputs,
            reference=_model_behind(inputs[0], state) if compares else None,
            force=step.name in self.selection.forced and not self._only_reuse,
            only_reuse=self._only_reuse,
            candidate=state.candidate,
        )
        return state.with_result(step.name, self.runner.carry_out(order))

    def _gate(self, gate: Gate, state: State) -> GateRecord:
        names = filter(None, (gate.step, gate.drop_from))
        reports = {name: state.results[name].report() for name in names}
        task = self.runner.task(state.setting)
        record = check_gate(gate, reports, task)
        record = replace(record, name=gate.name + state.suffix, step=gate.step + state.suffix)
        self.gates.append(record)
        self.runner.folder.journal.write(
            "gate", gate=record.name, metric=record.metric, value=_finite(record.value),
            limit=_finite(record.limit), holds=record.holds,
        )  # fmt: skip
        verdict = "holds" if record.holds else "is closed"
        self.runner.reporter.say(
            f"gate {record.name} {verdict}: {record.metric} {record.value:.4g}, "
            f"{limit_text(gate, record, rises(record.metric, task))}"
        )
        return record

    def _repeat(self, item: Repeat, folder: str, state: State) -> State:
        place, current = (*state.place, folder), state
        for number in range(1, item.at_most + 1):
            inner = replace(
                current, place=(*place, f"round-{number}"), suffix=f"{state.suffix}@{number}"
            )
            inner = self._items(item.body, inner)
            record = self._gate(item.until, inner)
            current = replace(inner, place=state.place, suffix=state.suffix)
            if record.holds or number == item.at_most:
                break
        facts = {"name": item.name + state.suffix, "rounds": number, "holds": record.holds}
        self._keep(place, facts, item.body, state, current)
        if not record.holds:
            raise closed(item.until, record, extra=f" after {number} rounds of '{item.name}'")
        return current

    def _search(self, item: Candidates, folder: str, state: State) -> State:
        place = (*state.place, folder)
        tried: list[_Tried] = []
        for name, settings in item.settings.items():
            inner = replace(state, place=(*place, name), suffix=f"{state.suffix}@{name}",
                            candidate=True)  # fmt: skip
            tried.append(self._candidate(item, name, settings, inner))
            if item.first_wins and tried[-1].eligible:
                break
        table = _table(item, tried)
        winner = self._choose(item, tried, state)
        facts: dict[str, Any] = {
            "name": item.name + state.suffix,
            "winner": winner.name if winner else None,
            "settings": item.settings,
            "columns": table.columns,
            "rows": table.rows,
        }
        if winner is None or winner.state is None:
            self.runner.folder.write_group(place, facts)
            raise LimitError(
                f"search '{item.name}' found no candidate that holds its limits\n"
                + "\n".join(f"  • {one.name}: {one.note}" for one in tried),
                hint=item.floor.advice if item.floor else "change the candidates or the network",
            )
        after = replace(winner.state, place=state.place, suffix=state.suffix,
                        candidate=state.candidate)  # fmt: skip
        self._keep(place, facts, item.body, state, after)
        settings = item.settings[winner.name]
        self.searches.append(SearchRecord(item.name + state.suffix, winner.name, settings, table))
        self.runner.reporter.say(f"search {item.name}: '{winner.name}' wins ({winner.note})")
        return after

    def _candidate(self, item: Candidates, name: str, settings: Mapping[str, Any],
                   state: State) -> _Tried:  # fmt: skip
        state = replace(state, setting=self._setting(item, name, settings, state.setting))
        try:
            state = self._items(item.body, state)
            tried = self._judged(item, name, state)
        except OWN_ERRORS as error:
            # A setting that cannot be carried out is out of the race; the others go on.
            tried = _Tried(name, None, None, eligible=False, note=error.what)
        self.runner.folder.journal.write(
            "candidate", search=item.name, candidate=name, eligible=tried.eligible, note=tried.note
        )
        if not tried.eligible:
            self.runner.reporter.say(f"search {item.name}: '{name}' is out ({tried.note})")
        return tried

    def _judged(self, item: Candidates, name: str, state: State) -> _Tried:
        report = state.results[item.judge].report()
        eligible = item.floor is None or self._gate(item.floor, state).holds
        task = self.runner.task(state.setting)
        metrics = dict.fromkeys((metric_name(item.metric, task), item.prefer or None))
        values = {m: metric_of(report, m, item.judge) for m in metrics if m}
        note = ", ".join(f"{metric} {value:.6g}" for metric, value in values.items())
        if any(math.isnan(value) for value in values.values()):
            eligible = False
        if not eligible:
            note += ", under the floor"
        return _Tried(name, state, report, eligible=eligible, note=note)

    def _choose(self, item: Candidates, tried: Sequence[_Tried], state: State) -> _Tried | None:
        task = self.runner.task(state.setting)
        metric = item.prefer or metric_name(item.metric, task)
        up = item.maximize if item.metric or item.prefer else rises(metric, task)
        best: _Tried | None = None
        best_value = 0.0
        for one in tried:
            if not one.eligible or one.report is None:
                continue
            value = metric_of(one.report, metric, item.judge)
            if best is None or (value > best_value if up else value < best_value):
                best, best_value = one, value
        return best

    def _setting(self, item: Candidates, name: str, settings: Mapping[str, Any],
                 base: Setting) -> Setting:  # fmt: skip
        target = self.runner.manager.target
        try:
            recipe = override_recipe(base.recipe, settings)
            return replace(base, recipe=recipe, options=target_options(recipe, target.info),
                           part=recipe.target.part or base.part)  # fmt: skip
        except RecipeError as error:
            raise PluginError(
                f"candidate '{name}' of the search '{item.name}' in the plan of {target} sets what "
                f"no recipe may hold: {error.what}"
            ) from error

    def _keep(self, place: Place, facts: dict[str, Any], body: Sequence[PlanItem], before: State,
              after: State) -> None:  # fmt: skip
        """Write a group's outcome, with the plain names its final results answer to."""
        aliases = {
            step.name + before.suffix: after.results[step.name].manifest.step
            for step in steps_of(body)
        }
        self.runner.folder.write_group(place, {**facts, "aliases": aliases})


def _inputs(step: Step, state: State) -> tuple[Result, ...]:
    takes = TAKES[step.stage]
    if not takes:
        return ()
    if step.subject:
        return (state.results[step.subject],)
    fitting = [r for r in state.results.values() if r.manifest.kind in takes]
    return (fitting[-1],)  # the plan's check has made sure that there is one


def _model_behind(subject: Result, state: State) -> Result | None:
    """Return the model that integers, or files of them, were made from; None for a model.

    Found by content: a manifest records the digests of what went in.
    """
    above: Result | None = subject
    while above is not None and above.manifest.kind != Kind.MODEL:
        recorded = above.manifest.ingredients
        digests = {recorded[key] for key in recorded if key.startswith("result of ")}
        made = [one for one in state.results.values() if one.manifest.digest in digests]
        above = made[-1] if made else None
    return None if above is subject else above


def _table(item: Candidates, tried: Sequence[_Tried]) -> Table:
    metrics = list(dict.fromkeys(m for one in tried if one.report for m in one.report.metrics))
    rows = tuple(
        (
            one.name,
            one.eligible,
            one.note,
            *(_finite(one.report.metrics.get(m)) if one.report else None for m in metrics),
        )
        for one in tried
    )
    return Table(f"search {item.name}", ("candidate", "eligible", "note", *metrics), rows)


def _finite(value: float | None) -> float | None:
    """Return a number JSON can say, None for the others."""
    return value if value is not None and math.isfinite(value) else None
