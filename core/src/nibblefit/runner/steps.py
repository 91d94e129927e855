"""One step: reuse its earlier result, or run its stage and keep the new one."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nibblefit.errors import NibblefitError, StageError, WorkspaceError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit.plan import Stage, Step
from nibblefit.plugins import Manager
from nibblefit.recipe_file import digest_of
from nibblefit.results import Artifact, Report
from nibblefit.run import Reporter, Run, StepReporter
from nibblefit.runner.artifact import check_files, check_read_back
from nibblefit.runner.guard import guarded, guarded_options
from nibblefit.runner.ingredients import (
    CALIBRATION,
    FileDigests,
    Setting,
    ingredients_of,
    options_closed,
    sections_read,
    seed_of,
)
from nibblefit.runner.outcome import StepRecord
from nibblefit.runner.refusals import OWN_ERRORS, forget, remember, remembered
from nibblefit.runner.sources import Sources
from nibblefit.workspace import (
    SOURCE,
    Manifest,
    Place,
    RunFolder,
    StepFolder,
    Value,
    changes,
    damage,
    is_out_of_space,
)

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe
    from nibblefit.tasks.protocol import Task

#: Characters of a key that name a scratch folder.
_KEY_SHOWN = 16
#: Changed ingredients named in a message.
_CHANGES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Result:
    """A finished step: where its value lies, and what is recorded about it."""

    manifest: Manifest
    folder: StepFolder

    def load(self) -> Value:
        """Return the value, freshly read."""
        return self.folder.load()

    def model(self) -> Model:
        """Return the value of a step that makes a model."""
        value = self.load()
        assert isinstance(value, Model)  # the walker takes no other kind for a reference
        return value

    def report(self) -> Report:
        """Return the value of an evaluate step."""
        value = self.load()
        assert isinstance(value, Report)  # the plan's check lets only evaluate steps be read
        return value


@dataclass(frozen=True, slots=True)
class Order:
    """One step to carry out.

    Attributes:
        step: The plan's step.
        name: Its name with ``@round`` or ``@candidate``.
        place: Where its folder is.
        setting: The recipe in force.
        inputs: The results that go in; none for prepare.
        reference: The model behind the integers that go in, for steps that get it.
        force: Run even if the result could be reused.
        only_reuse: Refuse to run: the user starts after this step.
        candidate: The step belongs to a candidate of a search: if it cannot be carried out, that
            is a result too, and kept.
    """

    step: Step
    name: str
    place: Place
    setting: Setting
    inputs: tuple[Result, ...]
    reference: Result | None = None
    force: bool = False
    only_reuse: bool = False
    candidate: bool = False


class StepRunner:
    """Carries out steps in a run folder."""

    def __init__(self, folder: RunFolder, manager: Manager, sources: Sources,
                 reporter: Reporter) -> None:  # fmt: skip
        self.folder = folder
        self.manager = manager
        self.sources = sources
        self.reporter = reporter
        self.records: list[StepRecord] = []
        self.current = ""
        self._files = FileDigests()

    def task(self, setting: Setting) -> Task:
        """Return the task of a setting."""
        return self.sources.task(setting.recipe, self.manager.target.info)

    def carry_out(self, order: Order) -> Result:
        """Return the step's result, reused or new.

        Raises:
            WorkspaceError: The disk fails, or `only_reuse` and there is nothing to reuse.
            NibblefitError: Whatever the stage refuses.
        """
        self.current = order.name
        folder = self.folder.step(order.place)
        inputs = [result.manifest for result in order.inputs]
        setting = order.setting
        reads = sections_read(order.step, inputs)
        files = self._files.read_by(order.step, setting.recipe, setting.options, reads)
        reference = order.reference.manifest if order.reference else None
        ingredients = ingredients_of(
            order.step, order.setting, self.manager, inputs, files, reference
        )
        earlier, reason = _reusable(folder, ingredients)
        if earlier is not None and not order.force:
            return self._reuse(order, folder, earlier)
        refusal = remembered(folder, digest_of(ingredients)) if order.candidate else None
        if refusal is not None and not order.force:
            self._tell(order.name, "")
            raise refusal
        if order.only_reuse:
            raise WorkspaceError(
                f"cannot start later: the earlier step '{order.name}' has no result to reuse "
                f"({reason})",
                hint="run without --from, or start at that step",
            )
        return self._run(order, folder, ingredients, reason or "asked for")

    def _reuse(self, order: Order, folder: StepFolder, manifest: Manifest) -> Result:
        self.folder.drop_scratch(order.name)
        self.folder.journal.write("reused", step=order.name, digest=manifest.digest)
        self._tell(order.name, "")
        self._record(order, folder, manifest, "")
        return Result(manifest, folder)

    def _run(self, order: Order, folder: StepFolder, ingredients: dict[str, Any],
             reason: str) -> Result:  # fmt: skip
        self.folder.journal.write("started", step=order.name, reason=reason)
        self._tell(order.name, reason)
        start = time.monotonic()
        try:
            run = self._handle(order, folder.begin(), digest_of(ingredients))
            value = self._call(order, run)
            manifest = folder.commit(
                value, step=order.name, stage=order.step.stage.value, ingredients=ingredients,
                seconds=time.monotonic() - start,
            )  # fmt: skip
        except BaseException as error:
            self._failed(order, error)
            if order.candidate and isinstance(error, OWN_ERRORS):
                remember(folder, digest_of(ingredients), error)
            raise
        self.folder.drop_scratch(order.name)
        self.folder.drop_traceback(order.name)
        if order.candidate:
            forget(folder)
        self.folder.journal.write(
            "finished", step=order.name, seconds=manifest.seconds, digest=manifest.digest
        )
        self._record(order, folder, manifest, reason)
        self._announce(order, replace(run, folder=folder.path), value, manifest)
        return Result(manifest, folder)

    def _tell(self, step: str, reason: str) -> None:
        if isinstance(self.reporter, StepReporter):
            self.reporter.step(step, reason)
        else:
            self.reporter.say(f"{step}: {reason or 'reused, nothing it depends on has changed'}")

    def _handle(self, order: Order, new: Path, key: str) -> Run:
        setting, step = order.setting, order.step
        recipe, info = setting.recipe, self.manager.target.info
        reads = sections_read(step, [result.manifest for result in order.inputs])
        is_artifact = [r for r in order.inputs if r.manifest.kind == "artifact"]
        return Run(
            recipe=guarded(recipe, step.name, reads),
            stage=step.stage,
            step=order.name,
            part=setting.part,
            options=guarded_options(
                setting.options, order.name, options_closed(step, setting.options)
            ),
            folder=new,
            scratch=self.folder.scratch(order.name, key[:_KEY_SHOWN]),
            seed=seed_of(recipe, step.name),
            device=self.sources.device(recipe),
            hooks=self.manager,
            reporter=_Witness(self.reporter, self.folder, order.name),
            task=self.sources.task(recipe, info),
            data=self.sources.data(recipe, info),
            step_options=frozen_mapping(step.options),
            artifact_folder=is_artifact[0].folder.path if is_artifact else new,
            reference=order.reference.model() if order.reference else None,
            calibration=self._calibration(recipe) if CALIBRATION in reads else None,
        )

    def _calibration(self, recipe: Recipe) -> DataSource | None:
        if not recipe.calibration.active:
            return None
        return self.sources.calibration(recipe, self.manager.target.info)

    def _call(self, order: Order, run: Run) -> Value:
        stage = order.step.stage
        if stage is Stage.PREPARE:
            from nibblefit.ir.store import save_graph

            graph = self.sources.network(order.setting.recipe, self.manager.target.info)
            save_graph(graph, run.folder / SOURCE)
            for note in (*getattr(run.data, "notes", ()), *getattr(self.sources, "notes", ())):
                run.reporter.warn(note)
            value: Value = self.manager.call_stage(stage, run, graph=graph)
            return value
        (subject,) = order.inputs
        given = subject.load()
        if stage is Stage.COMPILE:
            artifact: Artifact = self.manager.call_stage(stage, run, graph=given)
            self._check_artifact(artifact, subject, run)
            return artifact
        name = "subject" if stage is Stage.EVALUATE else "model"
        measured: Value = self.manager.call_stage(stage, run, **{name: given})
        return measured

    def _check_artifact(self, artifact: Artifact, subject: Result, run: Run) -> None:
        owner = str(self.manager.owner("compile"))
        check_files(artifact, run.folder, owner)
        back = self.manager.read_back(run, artifact)
        graph: Any = subject.load()
        check_read_back(graph, back, owner, run.seed)

    def _announce(self, order: Order, run: Run, value: Value, manifest: Manifest) -> None:
        report = value
        if not isinstance(report, Report):
            metrics = frozen_mapping({"seconds": manifest.seconds})
            report = Report(subject=order.name, metrics=metrics)
        self.manager.stage_finished(run, report)

    def _failed(self, order: Order, error: BaseException) -> None:
        """Journal a failure, keep its traceback, and name a full disk for what it is."""
        cause = error.__cause__ if isinstance(error, StageError) else error
        if not isinstance(error, KeyboardInterrupt) and is_full(cause, self.folder.path):
            raise WorkspaceError(
                f"step '{order.name}' stopped: the disk with {self.folder.path} is full",
                hint="free some space and run again; finished steps are kept",
            ) from error
        # What happened first matters more than a disk that now refuses to note it.
        with contextlib.suppress(WorkspaceError):
            self._note(order, error)

    def _note(self, order: Order, error: BaseException) -> None:
        kind = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        what = error.what if isinstance(error, NibblefitError) else repr(error)
        self.folder.journal.write(kind, step=order.name, problem=what)
        if isinstance(error, StageError) or not isinstance(error, NibblefitError):
            text = "".join(traceback.format_exception(error))
            path = self.folder.write_traceback(order.name, text)
            if isinstance(error, StageError):
                error.hint = f"the full traceback is in {path}; {error.hint}"
            else:
                error.add_note(f"the traceback is also in {path}")

    def _record(self, order: Order, folder: StepFolder, manifest: Manifest, reason: str) -> None:
        self.records.append(
            StepRecord(
                name=order.name, stage=order.step.stage.value, reused=not reason, reason=reason,
                seconds=manifest.seconds, digest=manifest.digest, folder=folder.path,
            )
        )  # fmt: skip


def is_full(cause: BaseException | None, folder: Path) -> bool:
    """Return whether a failure comes from a full disk; explained errors explain themselves."""
    return (
        cause is not None
        and not isinstance(cause, NibblefitError)
        and is_out_of_space(cause, folder)
    )


def _reusable(folder: StepFolder, ingredients: dict[str, Any]) -> tuple[Manifest | None, str]:
    """Return the earlier result if it may be reused, else None and why not."""
    try:
        manifest = folder.manifest()
    except WorkspaceError:
        return None, "its manifest is damaged"
    if manifest is None:
        return None, "not run yet"
    if manifest.key != digest_of(ingredients):
        found = changes(manifest.ingredients, ingredients)
        more = len(found) - _CHANGES_SHOWN
        text = ", ".join(found[:_CHANGES_SHOWN]) or "its key changed"
        return None, text + (f" and {more} more" if more > 0 else "")
    faults = damage(manifest, folder.path)
    return (None, faults[0]) if faults else (manifest, "")


class _Witness:
    """The user's reporter, with warnings kept in the journal."""

    def __init__(self, reporter: Reporter, folder: RunFolder, step: str) -> None:
        self._reporter = reporter
        self._folder = folder
        self._step = step
        self.say: Callable[[str], None] = reporter.say
        self.progress = reporter.progress

    def warn(self, message: str) -> None:
        """Show one line that asks for attention, and keep it."""
        self._folder.journal.write("warning", step=self._step, message=message)
        self._reporter.warn(message)
