"""From the recipe's ``[task]`` to a task; built-in ones and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeAlias

from nibblefit.errors import NibblefitError, PluginError, RecipeError, did_you_mean, listed
from nibblefit.recipe_file.explain import shown
from nibblefit.tasks.protocol import Task

if TYPE_CHECKING:
    from pydantic import BaseModel

    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe

#: What an entry point of group `GROUP` names.
TaskFactory: TypeAlias = "Callable[[Recipe, DataSource], Task]"
GROUP = "nibblefit.tasks"


def _classification(recipe: Recipe, data: DataSource) -> Task:
    from nibblefit.tasks.classification import make

    return make(recipe, data)


def _segmentation(recipe: Recipe, data: DataSource) -> Task:
    from nibblefit.tasks.segmentation import make

    return make(recipe, data)


def _reconstruction(recipe: Recipe, data: DataSource) -> Task:
    from nibblefit.tasks.reconstruction import make

    return make(recipe, data)


def _detection(recipe: Recipe, data: DataSource) -> Task:
    from nibblefit.tasks.detection import make

    return make(recipe, data)


BUILT_IN: Mapping[str, TaskFactory] = {
    "classification": _classification,
    "detection": _detection,
    "segmentation": _segmentation,
    "reconstruction": _reconstruction,
}


#: Kind → class of its ``task.options``; the modules import torch, so they wait until asked for.
_OPTIONS: Mapping[str, tuple[str, str]] = {
    "classification": ("nibblefit.tasks.classification", "ClassificationOptions"),
    "detection": ("nibblefit.tasks.detection", "DetectionOptions"),
    "segmentation": ("nibblefit.tasks.segmentation", "SegmentationOptions"),
    "reconstruction": ("nibblefit.tasks.reconstruction", "ReconstructionOptions"),
}


def kinds() -> list[str]:
    """Return every known ``task.kind``."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def unknown_kind(kind: str) -> str:
    """Return what to say about a ``task.kind`` that nobody offers."""
    known = kinds()
    close = did_you_mean(kind, known)
    rest = "" if close.startswith("known") else f" (known: {listed(known)})"
    return f"task.kind = {shown(kind)}: there is no such task; {close}{rest}"


def options_of(kind: str) -> type[BaseModel] | None:
    """Return what ``task.options`` may hold; None where only the task itself knows.

    A task of another package says it by an attribute `options` of its factory, a pydantic model.
    """
    if kind in _OPTIONS:
        module, name = _OPTIONS[kind]
        model: type[BaseModel] = getattr(import_module(module), name)
        return model
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in offered:
        return None
    declared: type[BaseModel] | None = getattr(_loaded(offered[kind]), "options", None)
    return declared


def make_task(recipe: Recipe, data: DataSource) -> Task:
    """Return the recipe's task for a data set.

    Raises:
        RecipeError: Unknown kind or options.
        PluginError: A task of another package cannot be loaded or returns something else.
    """
    kind = recipe.task.kind
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind in BUILT_IN:
        return BUILT_IN[kind](recipe, data)
    if kind in offered:
        return _from_entry_point(offered[kind], recipe, data)
    raise RecipeError(unknown_kind(kind))


def _package(entry: EntryPoint) -> str:
    return f" ({entry.dist.name} {entry.dist.version})" if entry.dist else ""


def _loaded(entry: EntryPoint) -> TaskFactory:
    try:
        factory: TaskFactory = entry.load()
    except NibblefitError:
        raise
    except Exception as error:
        raise _failed(entry, error) from error
    return factory


def _failed(entry: EntryPoint, error: Exception) -> PluginError:
    return PluginError(
        f"task '{entry.name}' of {entry.value}{_package(entry)} failed: "
        f"{type(error).__name__}: {error}",
        hint="report it to the package's author",
    )


def _from_entry_point(entry: EntryPoint, recipe: Recipe, data: DataSource) -> Task:
    package = _package(entry)
    try:
        made = _loaded(entry)(recipe, data)
    except NibblefitError:
        raise
    except Exception as error:
        raise _failed(entry, error) from error
    if not isinstance(made, Task):
        raise PluginError(
            f"task '{entry.name}' of {entry.value}{package} returned {type(made).__name__}, "
            "which lacks part of the task protocol",
            hint="see nibblefit.tasks.protocol.Task",
        )
    return made
