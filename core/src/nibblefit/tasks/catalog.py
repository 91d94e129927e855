"""From the recipe's ``[task]`` to a task; built-in ones and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, TypeAlias

from nibblefit.errors import NibblefitError, PluginError, RecipeError, did_you_mean
from nibblefit.tasks.protocol import Task

if TYPE_CHECKING:
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
    known = sorted({*BUILT_IN, *offered})
    raise RecipeError(
        f"task.kind is {kind!r}, known are {', '.join(known)}",
        hint=did_you_mean(kind, known),
    )


def _from_entry_point(entry: EntryPoint, recipe: Recipe, data: DataSource) -> Task:
    package = f" ({entry.dist.name} {entry.dist.version})" if entry.dist else ""
    try:
        factory: TaskFactory = entry.load()
        made = factory(recipe, data)
    except NibblefitError:
        raise
    except Exception as error:
        raise PluginError(
            f"task '{entry.name}' of {entry.value}{package} failed: "
            f"{type(error).__name__}: {error}",
            hint="report it to the package's author",
        ) from error
    if not isinstance(made, Task):
        raise PluginError(
            f"task '{entry.name}' of {entry.value}{package} returned {type(made).__name__}, "
            "which lacks part of the task protocol",
            hint="see nibblefit.tasks.protocol.Task",
        )
    return made
