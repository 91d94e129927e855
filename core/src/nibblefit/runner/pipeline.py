"""`run`: from a recipe to a finished run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibblefit
from nibblefit.errors import InterruptedRunError, NibblefitError, RecipeError
from nibblefit.plan import Plan
from nibblefit.plugins import Manager, Plugin, load_extension, load_target
from nibblefit.recipe import Recipe
from nibblefit.recipe_file import (
    check_recipe,
    check_train_steps,
    recipe_digest,
    target_options,
)
from nibblefit.results import Status
from nibblefit.run import Reporter
from nibblefit.runner.environment import environment
from nibblefit.runner.findings import recipe_findings
from nibblefit.runner.ingredients import Setting
from nibblefit.runner.outcome import RunOutcome
from nibblefit.runner.planning import Selection, check_plan, select, steps_of
from nibblefit.runner.recipes import TRAINED, RecipeChecks, sentence_of
from nibblefit.runner.silent import SilentReporter
from nibblefit.runner.sources import RecipeSources, Sources
from nibblefit.runner.steps import StepRunner
from nibblefit.runner.walk import State, Walker
from nibblefit.workspace import RunFolder, RunLock


def run(
    recipe: Recipe,
    folder: Path | str,
    *,
    from_: str | None = None,
    until: str | None = None,
    force: Sequence[str] | str = (),
    reporter: Reporter | None = None,
    target: Plugin | None = None,
    extensions: Sequence[Plugin] | None = None,
    sources: Sources | None = None,
) -> RunOutcome:
    """Walk the target's plan for a recipe; results of earlier runs are reused where they fit.

    Args:
        recipe: The validated recipe.
        folder: Run folder, new or from an earlier run.
        from_: Run this step (or the stage's first one) and all after it again; what comes before
            must be reusable.
        until: Stop after this step (or the stage's last one).
        force: Steps or stages to run even if their results could be reused.
        reporter: Shows progress; nothing is shown without one.
        target: Target to use instead of the one the recipe names.
        extensions: Extensions to use instead of those the recipe names.
        sources: Where task, data and network come from; what the recipe says without one.

    Raises:
        NibblefitError: Its text says what happened and what to do; finished steps are kept.
        InterruptedRunError: Ctrl-C; the same call goes on where it stopped.
    """
    reporter = reporter or SilentReporter()
    check_recipe(recipe, RecipeChecks(target, extensions, own_sources=sources is not None))
    manager = make_manager(recipe, target, extensions)
    setting = make_setting(recipe, manager)
    plan = make_plan(recipe, manager, reporter)
    selection = select(plan, from_, until, (force,) if isinstance(force, str) else force)
    asked = sources or RecipeSources(manager.model_formats(), manager.data_readers())
    runner = StepRunner(RunFolder(folder), manager, asked, reporter)
    return _in_folder(plan, setting, selection, runner)


def make_manager(recipe: Recipe, target: Plugin | None = None,
                 extensions: Sequence[Plugin] | None = None) -> Manager:  # fmt: skip
    """Return the plugin manager a recipe asks for."""
    if extensions is None:
        extensions = [load_extension(name) for name in recipe.run.extensions]
    return Manager(target or load_target(recipe.target.name), extensions)


def make_setting(recipe: Recipe, manager: Manager) -> Setting:
    """Return the recipe with the target's validated options and the part in force."""
    info = manager.target.info
    options = target_options(recipe, info)
    return Setting(recipe, options, recipe.target.part or (info.parts[0] if info.parts else ""))


def make_plan(recipe: Recipe, manager: Manager, reporter: Reporter) -> Plan:
    """Return the target's plan after every check that needs no run.

    Raises:
        RecipeError: The plugins see problems in the recipe, or it names steps the plan lacks.
        PluginError: The plan cannot be walked.
    """
    problems = []
    for finding in recipe_findings(manager, recipe):
        if finding.status is Status.FAILED:
            problems.append(sentence_of(finding))
        elif finding.status is Status.WARNING:
            reporter.warn(sentence_of(finding))
    if problems:
        raise RecipeError(f"the recipe does not fit {manager.target}", problems=problems)
    plan = manager.plan(recipe)
    check_plan(plan, str(manager.owner("plan")))
    check_train_steps(recipe, [step.name for step in steps_of(plan) if step.stage in TRAINED])
    return plan


def _in_folder(
    plan: Plan, setting: Setting, selection: Selection, runner: StepRunner
) -> RunOutcome:
    """Walk a plan in the runner's folder, which belongs to this run alone meanwhile."""
    folder = runner.folder
    folder.create()
    with RunLock(folder.path) as lock:
        if lock.took_over:
            runner.reporter.say(f"going on after a run that was killed ({lock.took_over})")
        folder.write_recipe(setting.recipe)
        folder.write_plan(tuple(item.name for item in plan))
        return _walk(plan, setting, selection, runner)


def _walk(plan: Plan, setting: Setting, selection: Selection, runner: StepRunner) -> RunOutcome:
    journal, folder = runner.folder.journal, runner.folder.path
    journal.write(
        "run", nibblefit=nibblefit.__version__, target=str(runner.manager.target),
        recipe=recipe_digest(setting.recipe), environment=environment(),
    )  # fmt: skip
    walker = Walker(runner, selection)
    try:
        walker.walk(plan, State(setting))
    except KeyboardInterrupt as error:
        raise InterruptedRunError(
            f"stopped during step '{runner.current}'; finished steps and checkpoints are kept "
            f"in {folder}",
            hint="run the same command again to go on from there",
        ) from error
    except NibblefitError as error:
        journal.write("stopped", problem=error.what)
        raise
    journal.write("ended", steps=len(runner.records))
    return RunOutcome(
        folder=folder,
        steps=tuple(runner.records),
        gates=tuple(walker.gates),
        searches=tuple(walker.searches),
        complete=selection.stop == len(plan),
    )
