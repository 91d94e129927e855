"""The recipe's free tables (options, augmentation, schedules …): checked by who reads them.

Works on a recipe as its file says it, so that these problems are found together with those of the
schema. What has the wrong type altogether is left to the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nibblefit.errors import did_you_mean
from nibblefit.recipe import TrainSection
from nibblefit.recipe_file.explain import Location, Origin, Problem, shown
from nibblefit.recipe_file.tables import Document, FreeTable, table_problems

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nibblefit.hooks import DataReader

Table: TypeAlias = Mapping[str, Any]
_NOTHING: Table = {}


def table_at(table: Any, *keys: str) -> Table:
    """Return an inner table; empty where there is none."""
    for key in keys:
        table = table.get(key, _NOTHING) if isinstance(table, Mapping) else _NOTHING
    return table if isinstance(table, Mapping) else _NOTHING


def data_problems(
    document: Document, origin: Origin, contributed: Sequence[DataReader] | None
) -> Iterator[Problem]:
    """Yield what is wrong with source, path, options and augmentation of ``[data]``.

    Args:
        document: The recipe.
        origin: Its lines.
        contributed: Data sets of plugins; None if the plugins are not known.
    """
    from nibblefit.data.augment_options import AugmentOptions
    from nibblefit.data.catalog import OPTIONS, WITHOUT_PATH, unknown_source

    section = table_at(document, "data")
    source = section.get("source", "digits")
    known = _options_of(OPTIONS, contributed)
    if isinstance(source, str):
        if source not in known:
            if contributed is not None:
                sentence = unknown_source(source, tuple(r.name for r in contributed))
                yield origin.problem(("data", "source"), sentence)
        elif source not in WITHOUT_PATH and section.get("path", "") == "":
            sentence = f"data.source = {shown(source)} needs data.path"
            yield origin.problem(("data", "source"), sentence)
        yield from _option_problems("data", source, section, known, origin)
    given = table_at(section, "augment")
    yield from table_problems(FreeTable(("data", "augment"), given, AugmentOptions), origin)


def calibration_problems(
    document: Document, origin: Origin, contributed: Sequence[DataReader] | None
) -> Iterator[Problem]:
    """Yield what is wrong with source and options of ``[calibration]``.

    Args:
        document: The recipe.
        origin: Its lines.
        contributed: Data sets of plugins; None if the plugins are not known.
    """
    from nibblefit.data.calibration import CALIBRATION_OPTIONS, PICTURES

    section = table_at(document, "calibration")
    source, given = section.get("source", PICTURES), table_at(section, "options")
    if not isinstance(source, str):
        return
    known = _options_of(CALIBRATION_OPTIONS, contributed)
    if source not in known and contributed is not None:
        sentence = f"calibration.source = {shown(source)}: there is no such source; "
        yield origin.problem(("calibration", "source"), sentence + did_you_mean(source, known))
    if section.get("path", "") == "" and (given or source != PICTURES):
        sentence = "calibration.path is missing: without it training samples calibrate"
        yield origin.problem(("calibration",), sentence)
    yield from _option_problems("calibration", source, section, known, origin)


def _options_of(
    own: Mapping[str, type[BaseModel] | None], contributed: Sequence[DataReader] | None
) -> Mapping[str, type[BaseModel] | None]:
    """Return the options of every source, those of plugins included."""
    return {**own, **{reader.name: reader.options for reader in contributed or ()}}


def _option_problems(
    name: str, source: str, section: Table, known: Mapping[str, type[BaseModel] | None],
    origin: Origin,
) -> Iterator[Problem]:  # fmt: skip
    model = known.get(source)
    if model is not None:
        given = table_at(section, "options")
        table = FreeTable((name, "options"), given, model, f"source {shown(source)}")
        yield from table_problems(table, origin)


def task_problems(document: Document, origin: Origin) -> Iterator[Problem]:
    """Yield what is wrong with kind and options of ``[task]``."""
    from nibblefit.tasks.catalog import kinds, options_of, unknown_kind

    section = table_at(document, "task")
    kind, given = section.get("kind", "classification"), table_at(section, "options")
    if not isinstance(kind, str):
        return
    if kind not in kinds():
        yield origin.problem(("task", "kind"), unknown_kind(kind))
        return
    model = options_of(kind) if given else None
    if model is not None:
        table = FreeTable(("task", "options"), given, model, f"task {shown(kind)}")
        yield from table_problems(table, origin)


def training_problems(document: Document, origin: Origin) -> Iterator[Problem]:
    """Yield what is wrong with schedules and parameter groups, in general and of single steps."""
    general = table_at(document, "train")
    steps = {
        name: table
        for name, table in general.items()
        if isinstance(table, Mapping) and name not in TrainSection.model_fields
    }
    base = {name: value for name, value in general.items() if name not in steps}
    yield from _schedule_problems(base, (), base, origin)
    yield from _group_problems(base, (), origin)
    for name, table in steps.items():
        if {"schedule", "schedule_options"} & table.keys():
            yield from _schedule_problems({**base, **table}, (name,), table, origin)
        yield from _group_problems(table, (name,), origin)


def _schedule_problems(
    settings: Table, step: tuple[str, ...], own: Table, origin: Origin
) -> Iterator[Problem]:
    from nibblefit.training.schedules import OPTIONS

    schedule = settings.get("schedule", "cosine")
    if not isinstance(schedule, str) or schedule not in OPTIONS:
        return
    path = ("train", *(step if "schedule_options" in own else ()), "schedule_options")
    reader = f"schedule {shown(schedule)}" + (f" in [train.{step[0]}]" if step else "")
    given = table_at(settings, "schedule_options")
    yield from table_problems(FreeTable(path, given, OPTIONS[schedule], reader), origin)


def _group_problems(table: Table, step: tuple[str, ...], origin: Origin) -> Iterator[Problem]:
    groups = table.get("parameter_groups", ())
    if not isinstance(groups, list | tuple) or not groups:
        return
    from nibblefit.training.optimizers import GroupOptions

    for number, given in enumerate(groups):
        if isinstance(given, Mapping):
            path: Location = ("train", *step, "parameter_groups", number)
            yield from table_problems(FreeTable(path, given, GroupOptions), origin)


def quantize_problems(document: Document, origin: Origin, model: Any) -> Iterator[Problem]:
    """Yield what is wrong with the settings per layer, and with core's method of ranges.

    Args:
        document: The recipe.
        origin: Its lines.
        model: Model of one entry of ``[quantize.layers]``.
    """
    from nibblefit.quantization.layer_options import METHOD_NAMES, LayerOptions

    section = table_at(document, "quantize")
    method = section.get("method", "mse")
    if model is LayerOptions and isinstance(method, str) and method not in METHOD_NAMES:
        known = f"expected {', '.join(METHOD_NAMES)}"
        close = did_you_mean(method, METHOD_NAMES)
        close = f"; {close}" if close.startswith("did") else ""
        sentence = f"quantize.method = {shown(method)}: {known}{close}"
        yield origin.problem(("quantize", "method"), sentence)
    for pattern, given in table_at(section, "layers").items():
        if isinstance(given, Mapping):
            path = ("quantize", "layers", pattern)
            yield from table_problems(FreeTable(path, given, model), origin)
