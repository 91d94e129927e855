"""Checks of a plan before it is walked, and the part of it that the user asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nibblefit.errors import InputError, PluginError, did_you_mean
from nibblefit.plan import Candidates, Gate, Plan, PlanItem, Repeat, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit.workspace import Kind

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CANDIDATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
#: What each stage makes.
MAKES = {
    Stage.PREPARE: Kind.MODEL,
    Stage.TRAIN: Kind.MODEL,
    Stage.PRUNE: Kind.MODEL,
    Stage.QUANTIZE: Kind.QUANTIZED,
    Stage.COMPILE: Kind.ARTIFACT,
    Stage.EVALUATE: Kind.REPORT,
}
#: What each stage takes; prepare takes the captured network.
TAKES: dict[Stage, tuple[Kind, ...]] = {
    Stage.PREPARE: (),
    Stage.TRAIN: (Kind.MODEL,),
    Stage.PRUNE: (Kind.MODEL,),
    Stage.QUANTIZE: (Kind.MODEL,),
    Stage.COMPILE: (Kind.QUANTIZED,),
    Stage.EVALUATE: (Kind.MODEL, Kind.QUANTIZED, Kind.ARTIFACT),
}
_SECTIONS = frozenset(Recipe.model_fields) - {"folder", "file", "train_steps"}


def steps_of(items: Sequence[PlanItem]) -> Iterator[Step]:
    """Yield every step of a plan, those of repeats and searches included, in order."""
    for item in items:
        if isinstance(item, Step):
            yield item
        elif isinstance(item, Repeat | Candidates):
            yield from steps_of(item.body)


def _names(items: Sequence[PlanItem]) -> Iterator[str]:
    for item in items:
        yield item.name
        if isinstance(item, Repeat | Candidates):
            yield from _names(item.body)
        if isinstance(item, Repeat):
            yield item.until.name
        if isinstance(item, Candidates) and item.floor is not None:
            yield item.floor.name


def check_plan(plan: Plan, owner: str) -> None:
    """Refuse a plan that cannot be walked; `owner` names the plugin it comes from.

    Raises:
        PluginError: With every fault found.
    """
    faults = list(_faults(plan))
    if faults:
        text = "".join(f"\n  • {fault}" for fault in faults)
        raise PluginError(f"the plan of {owner} cannot be walked{text}", hint="correct the plan")


def _faults(plan: Plan) -> Iterator[str]:
    names = list(_names(plan))
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"the name '{name}' is used {names.count(name)} times"
    for name in dict.fromkeys(names):
        if not _NAME.fullmatch(name):
            yield f"{name!r} is no name; use a short lower-case word"
    if not any(step.stage is Stage.PREPARE for step in steps_of(plan)):
        yield "no step prepares the network"
    made: dict[str, Kind] = {}
    yield from _walk(plan, made)


def _walk(items: Sequence[PlanItem], made: dict[str, Kind]) -> Iterator[str]:
    """Yield the faults of items, given what was made before; adds what they make."""
    for item in items:
        match item:
            case Step():
                yield from _step_faults(item, made)
                made[item.name] = MAKES[item.stage]
            case Gate():
                yield from _gate_faults(item, made)
            case Repeat():
                if item.at_most < 1:
                    yield f"repeat '{item.name}' runs at most {item.at_most} times"
                yield from _walk(item.body, made)
                yield from _gate_faults(item.until, made)
            case Candidates():
                yield from _search_faults(item, made)


def _step_faults(step: Step, made: dict[str, Kind]) -> Iterator[str]:
    takes = TAKES[step.stage]
    if step.subject and step.subject not in made:
        yield f"step '{step.name}' takes the result of '{step.subject}', which is not made before"
    elif step.subject and made[step.subject] not in takes:
        yield (
            f"step '{step.name}' takes '{step.subject}', a {made[step.subject]}; "
            f"{step.stage} takes {' or '.join(takes) or 'the source network'}"
        )
    elif takes and not step.subject and not set(takes) & set(made.values()):
        yield f"step '{step.name}' ({step.stage}) comes before any {' or '.join(takes)} is made"
    for read in step.reads:
        section, _, key = read.partition(".")
        if section not in _SECTIONS:
            hint = did_you_mean(section, _SECTIONS)
            yield f"step '{step.name}' reads the unknown recipe section '{section}'; {hint}"
        elif key and key not in _keys_of(section):
            hint = did_you_mean(key, _keys_of(section))
            yield f"step '{step.name}' reads the unknown recipe key '{read}'; {hint}"


def _keys_of(section: str) -> list[str]:
    model: Any = Recipe.model_fields[section].annotation
    return list(model.model_fields)


def _gate_faults(gate: Gate, made: dict[str, Kind]) -> Iterator[str]:
    for step in filter(None, (gate.step, gate.drop_from)):
        if made.get(step) is not Kind.REPORT:
            yield f"gate '{gate.name}' reads '{step}', which is no evaluate step before it"
    if gate.at_least is None and not gate.drop_from:
        yield f"gate '{gate.name}' has neither at_least nor drop_from"


def _search_faults(item: Candidates, made: dict[str, Kind]) -> Iterator[str]:
    if not item.settings:
        yield f"search '{item.name}' has no candidates"
    for name in item.settings:
        if not _CANDIDATE.fullmatch(name):
            yield f"candidate {name!r} of '{item.name}' is no name for a folder"
    yield from _walk(item.body, made)
    if item.judge not in {step.name for step in steps_of(item.body)}:
        yield f"search '{item.name}' is judged by '{item.judge}', which is not in its body"
    elif made.get(item.judge) is not Kind.REPORT:
        yield f"search '{item.name}' is judged by '{item.judge}', which is no evaluate step"
    if item.floor is not None:
        yield from _gate_faults(item.floor, made)
    if item.first_wins and item.prefer:
        yield f"search '{item.name}' keeps the first that holds its limits, and cannot prefer one"


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of a plan to walk.

    Attributes:
        start: Items before this index must be reusable.
        stop: Items from this index on are left out.
        forced: Plain names of the steps that run even if their results could be reused.
    """

    start: int
    stop: int
    forced: frozenset[str]


def select(plan: Plan, from_: str | None, until: str | None, force: Sequence[str]) -> Selection:
    """Return what ``--from``, ``--until`` and ``--force`` ask for.

    Each takes the name of a step, a repeat, a search or a gate, or a stage: its first step for
    `from_`, its last for `until`, all of them for `force`. A step inside a repeat or a search
    stands for the whole of it in `from_` and `until`.

    Raises:
        InputError: An unknown name, or `until` lies before `from_`.
    """
    start = min(_places(plan, from_)) if from_ else 0
    stop = max(_places(plan, until)) + 1 if until else len(plan)
    if stop <= start:
        raise InputError(f"--until {until} lies before --from {from_}", hint="swap them")
    forced = {name for entry in force for name in _steps_named(plan, entry)}
    if from_:
        forced |= {step.name for step in steps_of(plan[start:])}
    return Selection(start, stop, frozenset(forced))


def _places(plan: Plan, name: str) -> list[int]:
    exact = [i for i, item in enumerate(plan) if name in _names([item])]
    staged = [i for i, item in enumerate(plan) if name in {s.stage for s in steps_of([item])}]
    found = exact or staged
    if not found:
        raise _unknown(plan, name)
    return found


def _steps_named(plan: Plan, name: str) -> list[str]:
    for item in _all_items(plan):
        if item.name == name and not isinstance(item, Gate):
            return [step.name for step in steps_of([item])]
    found = [step.name for step in steps_of(plan) if step.stage == name]
    if not found:
        raise _unknown(plan, name)
    return found


def _all_items(items: Sequence[PlanItem]) -> Iterator[PlanItem]:
    for item in items:
        yield item
        if isinstance(item, Repeat | Candidates):
            yield from _all_items(item.body)


#: Stage that a plan may lack → what makes the plans of core and its plugins have it.
_MISSING = {"prune": "set prune.sparsity in the recipe, such as --set prune.sparsity=0.5"}


def _unknown(plan: Plan, name: str) -> InputError:
    if name in set(Stage):
        return InputError(f"the plan has no {name} step", hint=_MISSING.get(
            name, f"steps: {', '.join(step.name for step in steps_of(plan))}"))  # fmt: skip
    known = [*_names(plan), *(step.stage.value for step in steps_of(plan))]
    return InputError(f"the plan has no step '{name}'; {did_you_mean(name, known)}",
                      hint=f"steps: {', '.join(step.name for step in steps_of(plan))}")  # fmt: skip
