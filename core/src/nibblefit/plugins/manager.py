"""The plugin manager of one run: core, the chosen target, the extensions asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import pluggy

import nibblefit
from nibblefit.defaults import CoreDefaults
from nibblefit.errors import NibblefitError, PluginError, StageError
from nibblefit.hooks import (
    CommandSpecs,
    ContributionSpecs,
    DataReader,
    ModelFormat,
    RefusedFormat,
    StageSpecs,
    TargetSpecs,
)
from nibblefit.plan import Plan, Stage
from nibblefit.plugins.checking import OWNED
from nibblefit.plugins.contract import Contract, check_result
from nibblefit.plugins.contributed import checked_formats, checked_readers
from nibblefit.plugins.discovery import Plugin
from nibblefit.results import Artifact, Finding, Report
from nibblefit.training.parts import TrainingPart

if TYPE_CHECKING:
    from torch import nn

    from nibblefit.ir.graph import Graph
    from nibblefit.ir.quantized import QuantizedGraph
    from nibblefit.models import Model
    from nibblefit.recipe import Recipe
    from nibblefit.run import Run

_Traceback = TracebackType | None


class Manager:
    """Calls hooks; the typed face that stages see is `nibblefit.hooks.Hooks`.

    A hook with one answer belongs to the target if the target implements it; core's default then
    stands aside completely. Extensions can only wrap. Whatever a plugin raises that is not
    already written for people is wrapped once, with the plugin's name and package.

    Args:
        target: The chosen target.
        extensions: Extensions in the recipe's order.
        core: Core's defaults; only tests replace them.
    """

    def __init__(self, target: Plugin, extensions: Sequence[Plugin] = (),
                 core: object | None = None) -> None:  # fmt: skip
        self.target = target
        self.extensions = tuple(extensions)
        defaults = core or CoreDefaults(target.info.numerics)
        self.core = Plugin("core", defaults, "nibblefit", nibblefit.__version__)
        self._pluggy = pluggy.PluginManager("nibblefit")
        for specs in (StageSpecs, TargetSpecs, ContributionSpecs, CommandSpecs):
            self._pluggy.add_hookspecs(specs)
        self._pluggy.register(Contract(self.owner), name="contract")
        # Registered first, asked last.
        for plugin in (self.core, target, *self.extensions):
            self._register(plugin)
        self._callers = {hook: self._caller(hook) for hook in OWNED}

    def _register(self, plugin: Plugin) -> None:
        # A target and an extension may share a name; pluggy wants unique ones.
        kind = "core" if plugin is self.core else str(plugin)
        try:
            self._pluggy.register(plugin.value, name=kind)
            self._pluggy.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(
                f"{plugin} cannot be registered: {' '.join(str(error).split())}"
            ) from error

    def _caller(self, hook: str) -> pluggy.HookCaller:
        aside = [] if self.owner(hook) is self.core else [self.core.value]
        return self._pluggy.subset_hook_caller(hook, aside)

    def owner(self, hook: str) -> Plugin:
        """Return who answers a hook: the target if it implements it, else core."""
        caller: pluggy.HookCaller = getattr(self._pluggy.hook, hook)
        for implementation in caller.get_hookimpls():
            wraps = implementation.wrapper or implementation.hookwrapper
            if implementation.plugin is self.target.value and not wraps:
                return self.target
        return self.core

    def call_stage(self, stage: Stage, run: Run, **values: Any) -> Any:
        """Run a stage and return its checked result.

        Raises:
            StageError: A plugin raised something unexpected.
            PluginError, GraphError: A plugin broke its contract.
        """
        return self._ask(stage.value, step=run.step, run=run, **values)

    def plan(self, recipe: Recipe) -> Plan:
        """Return the target's order of steps."""
        return cast("Plan", self._ask("plan", recipe=recipe))

    def inspect(self, graph: Graph, part: str, recipe: Recipe | None) -> Report:
        """Return the support and fit table of a float graph."""
        return cast("Report", self._ask("inspect", graph=graph, part=part, recipe=recipe))

    def network(self, run: Run, model: Model) -> nn.Module:
        """Return the trainable module of a model."""
        return cast("nn.Module", self._ask("network", step=run.step, run=run, model=model))

    def simulate(self, run: Run, model: Model, graph: QuantizedGraph) -> nn.Module | None:
        """Return training's simulation of a quantized graph, if there is one."""
        found = self._ask("simulate", step=run.step, run=run, model=model, graph=graph)
        return cast("nn.Module | None", found)

    def read_back(self, run: Run, artifact: Artifact) -> QuantizedGraph:
        """Parse compiled files again; the hook finds them below ``run.folder``."""
        if run.artifact_folder != Path():
            run = replace(run, folder=run.artifact_folder)
        found = self._ask("read_back", step=run.step, run=run, artifact=artifact)
        return cast("QuantizedGraph", found)

    def regularize(self, run: Run, model: Model) -> tuple[TrainingPart, ...]:
        """Return everyone's training parts, in registration order."""
        parts: list[TrainingPart] = []
        for found in self._collect("regularize", step=run.step, run=run, model=model):
            several = found if isinstance(found, list | tuple) else (found,)
            for part in several:
                if not isinstance(part, TrainingPart):
                    raise PluginError(
                        f"regularize returned a {type(part).__name__}, expected a TrainingPart"
                    )
                parts.append(part)
        return tuple(parts)

    def recipe_problems(self, recipe: Recipe) -> tuple[Finding, ...]:
        """Return every problem the plugins see in a recipe."""
        findings: list[Finding] = []
        for found in self._collect("recipe_problems", recipe=recipe):
            for finding in found:
                if not isinstance(finding, Finding):
                    raise PluginError(
                        f"recipe_problems returned a {type(finding).__name__}, expected Finding"
                    )
                findings.append(finding)
        return tuple(findings)

    def model_formats(self) -> tuple[ModelFormat | RefusedFormat, ...]:
        """Return the kinds of network files that plugins read, or refuse with a conversion."""
        return checked_formats(self._collect("model_formats"))

    def data_readers(self) -> tuple[DataReader, ...]:
        """Return the data sets that plugins bring."""
        return checked_readers(self._collect("data_readers"))

    def stage_finished(self, run: Run, report: Report) -> None:
        """Tell everyone that a stage has ended."""
        self._collect("stage_finished", step=run.step, run=run, report=report)

    def _ask(self, hook: str, *, step: str = "", **values: Any) -> Any:
        result = self._call(hook, self._callers[hook], step, values)
        # The contract saw the owner's own result; here is what the wrappers made of it.
        check_result(hook, result, "an extension around " + str(self.owner(hook)))
        return result

    def _collect(self, hook: str, *, step: str = "", **values: Any) -> list[Any]:
        caller: pluggy.HookCaller = getattr(self._pluggy.hook, hook)
        found = self._call(hook, caller, step, values)
        return list(reversed(found))  # pluggy asks the last registered first

    def _call(self, hook: str, caller: pluggy.HookCaller, step: str,
              values: Mapping[str, Any]) -> Any:  # fmt: skip
        try:
            return caller(**values)
        except (NibblefitError, MemoryError):
            raise
        except Exception as error:
            culprit = self._culprit(caller, error)
            if culprit is self.core:
                raise  # a defect of nibblefit itself keeps its traceback
            where = f", step '{step}'" if step else ""
            raise StageError(
                f"{hook} failed in {culprit}{where}: {type(error).__name__}: {error}",
                hint="report this to the plugin's authors",
            ) from error

    def _culprit(self, caller: pluggy.HookCaller, error: BaseException) -> Plugin:
        """Return the plugin whose hook method was the innermost one running."""
        plugins = {id(p.value): p for p in (self.core, self.target, *self.extensions)}
        owners: dict[Any, Plugin] = {}
        for implementation in caller.get_hookimpls():
            code = getattr(implementation.function, "__code__", None)
            if code is not None and id(implementation.plugin) in plugins:
                owners[code] = plugins[id(implementation.plugin)]
        found = self.core  # such as the contract's own checks
        trace: _Traceback = error.__traceback__
        while trace is not None:
            found = owners.get(trace.tb_frame.f_code, found)
            trace = trace.tb_next
        return found
