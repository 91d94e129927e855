"""Reading a recipe with every check that needs no network: schema, readers, target, plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nibblefit.errors import PluginError, UnknownPluginError
from nibblefit.plan import Stage
from nibblefit.plugins import Manager, Plugin, load_extension, load_target
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import read_recipe
from nibblefit.recipe_file.explain import Origin, Problem, shown
from nibblefit.recipe_file.reading import checked_target, step_problems
from nibblefit.recipe_file.tables import Document
from nibblefit.results import Finding, Status
from nibblefit.runner.findings import recipe_findings
from nibblefit.runner.free_tables import (
    calibration_problems,
    data_problems,
    quantize_problems,
    table_at,
    task_problems,
    training_problems,
)
from nibblefit.runner.planning import check_plan, steps_of

if TYPE_CHECKING:
    from pydantic import BaseModel

_NO_OVERRIDES: Mapping[str, Any] = {}
#: Stages whose steps may have a table ``[train.NAME]``.
TRAINED = frozenset({Stage.TRAIN, Stage.PRUNE})


def load_recipe(path: Path | str, overrides: Mapping[str, Any] = _NO_OVERRIDES) -> Recipe:
    """Return the recipe of a file, checked by everyone who will read it.

    Raises:
        RecipeError: With every problem of every section, each with its line.
        PluginError: The target or an extension is broken.
    """
    return read_recipe(path, overrides, RecipeChecks())


@dataclass(frozen=True, slots=True)
class RecipeChecks:
    """What is checked beyond the schema; call it as `nibblefit.recipe_file` calls its checks.

    Attributes:
        target: Target to use instead of the one the recipe names.
        extensions: Extensions to use instead of those the recipe names.
        own_sources: Whether data and task come from elsewhere, so that the recipe's ``[data]``
            and ``[task]`` mean what their maker wants.
    """

    target: Plugin | None = None
    extensions: Sequence[Plugin] | None = None
    own_sources: bool = False

    def __call__(self, document: Document, recipe: Recipe | None, origin: Origin) -> list[Problem]:
        """Return every problem of free tables, target, plugins and step names."""
        problems = list(training_problems(document, origin))
        if not self.own_sources:
            problems += task_problems(document, origin)
        try:
            manager, found = self._manager(document, origin)
            problems += found
            if not self.own_sources:
                readers = None if manager is None else manager.data_readers()
                problems += data_problems(document, origin, readers)
                problems += calibration_problems(document, origin, readers)
            if manager is not None:
                problems += _target_problems(manager, document, recipe, origin)
        except PluginError:
            # A broken plugin is somebody else's fault: the user's own mistakes come first.
            if not problems:
                raise
        return problems

    def _manager(self, document: Document, origin: Origin) -> tuple[Manager | None, list[Problem]]:
        """Return the plugins a recipe names, or the names nobody answers to."""
        problems: list[Problem] = []
        target, extensions = self.target, list(self.extensions or ())
        name = table_at(document, "target").get("name")
        if target is None and isinstance(name, str):
            try:
                target = load_target(name)
            except UnknownPluginError as error:
                sentence = _one_line(f"target.name = {shown(name)}", error)
                problems.append(origin.problem(("target", "name"), sentence))
        names = table_at(document, "run").get("extensions", ())
        if self.extensions is None and isinstance(names, list | tuple):
            for number, extension in enumerate(filter(_is_text, names)):
                try:
                    extensions.append(load_extension(extension))
                except UnknownPluginError as error:
                    sentence = _one_line(f"run.extensions[{number}] = {shown(extension)}", error)
                    problems.append(origin.problem(("run", "extensions"), sentence))
        return (None if target is None else Manager(target, extensions)), problems


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _one_line(key: str, error: UnknownPluginError) -> str:
    return f"{key}: {error.what}" + (f"; {error.hint}" if error.hint else "")


def _target_problems(
    manager: Manager, document: Document, recipe: Recipe | None, origin: Origin
) -> list[Problem]:
    info = manager.target.info
    options, problems = checked_target(table_at(document, "target"), info, origin)
    layers = _layer_options(manager)
    if layers is not None:
        problems += quantize_problems(document, origin, layers)
    if recipe is not None and options is not None:
        problems += _plugin_problems(manager, recipe, origin)
    return problems


def _layer_options(manager: Manager) -> type[BaseModel] | None:
    """Return the model of one entry of ``[quantize.layers]``; None if only the target knows."""
    from nibblefit.quantization.layer_options import LayerOptions

    declared = manager.target.info.layer_options
    if declared is None and manager.owner("quantize") is manager.core:
        return LayerOptions
    return declared


def _plugin_problems(manager: Manager, recipe: Recipe, origin: Origin) -> Iterator[Problem]:
    """Yield what plugins find in a recipe, and tables of training steps the plan lacks."""
    for finding in recipe_findings(manager, recipe):
        if finding.status is Status.FAILED:
            yield origin.problem(tuple(finding.where.split(".")), sentence_of(finding))
    plan = manager.plan(recipe)
    check_plan(plan, str(manager.owner("plan")))
    names = [step.name for step in steps_of(plan) if step.stage in TRAINED]
    yield from step_problems(recipe.train_steps, names, origin)


def sentence_of(finding: Finding) -> str:
    """Return a plugin's finding about a recipe as one sentence."""
    place = f"{finding.where}: " if finding.where else ""
    hint = f"; {finding.hint}" if finding.hint else ""
    return f"{place}{finding.message}{hint}"
