"""Training a network: the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from torch import nn

from nibblefit.data.augment import Augmentation
from nibblefit.data.source import DataSource, Split
from nibblefit.errors import MissingExtraError
from nibblefit.models import Mask
from nibblefit.recipe import TrainSection
from nibblefit.run import Run
from nibblefit.tasks.protocol import Task
from nibblefit.training.batches import BatchPlan
from nibblefit.training.choice import Choice
from nibblefit.training.distillation import distillation_for
from nibblefit.training.feed import Feed, ReporterFeed, Silence
from nibblefit.training.job import Job
from nibblefit.training.parts import TrainingPart
from nibblefit.training.parts_library import MaskPart


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a training ended with.

    Attributes:
        network: With the chosen epoch's weights, on the CPU, in evaluation mode. Another module
            than the one given if a part rewrote it.
        history: One record per finished epoch: epoch, step, learning_rate, loss (mean over the
            samples, penalties included) and the task's metrics as ``validation_NAME``, those of
            single classes as ``validation_NAME[CLASS]``.
        chosen_epoch: Epoch, from 1, whose weights these are; 0 if nothing was trained.
        masks: The masks given, and those that parts made: constant name → True where kept.
        choice: The epoch chosen, with the reason in words.
        seconds: How long each epoch took, validation included; of a training that was continued,
            those of its earlier part too.
    """

    network: nn.Module
    history: tuple[Mapping[str, float], ...]
    chosen_epoch: int
    masks: Mapping[str, Mask] = field(default_factory=dict)
    choice: Choice = field(default_factory=Choice)
    seconds: tuple[float, ...] = ()


def fit(  # noqa: PLR0917 - the nouns of a training, in the order they are introduced
    run: Run,
    network: nn.Module,
    task: Task,
    data: DataSource,
    settings: TrainSection,
    parts: Sequence[TrainingPart] = (),
    masks: Mapping[str, Mask] | None = None,
) -> FitResult:
    """Train a network, going on from the latest good checkpoint in ``run.scratch``.

    The same inputs give the same weights, bit for bit on the CPU, whether or not the training was
    interrupted. Progress goes to ``run.reporter``, the log to ``history.csv`` in ``run.folder``.

    Args:
        run: Gives device, seed, folders and reporter.
        network: Maps a batch to a tuple of outputs; trained in place.
        task: Loss and metric.
        data: Training and validation split.
        settings: See `nibblefit.recipe.TrainSection`.
        parts: Contributions of targets and extensions.
        masks: Constant name → True where a weight is kept.

    Raises:
        MissingExtraError: Lightning is not installed.
        RecipeError: Settings that do not fit the network or each other.
        LimitError: The loss became infinite or NaN.
    """
    if settings.epochs == 0:
        return FitResult(network.eval(), (), 0, dict(masks or {}))
    if find_spec("lightning") is None:
        raise MissingExtraError("training", "train")
    held = [MaskPart(masks)] if masks else []
    job = _job(run, network, task, data, settings, (*parts, *distillation_for(run), *held))
    count = len(data.split(Split.TRAIN))
    steps = BatchPlan(count, settings.batch_size, run.seed, settings.processes).steps
    with run.reporter.progress(f"training {run.step}", steps * settings.epochs) as bar:
        return _carry_out(job, ReporterFeed(run.reporter, bar))


def _job(  # noqa: PLR0917 - as above
   run: Run, network: nn.Module, task: Task, data: DataSource, settings: TrainSection,
         parts: tuple[TrainingPart, ...]) -> Job:  # fmt: skip
    section = run.recipe.data
    augment = Augmentation.from_recipe(section.augment, run.seed, data.input_shape)
    return Job(network, task, data, settings, parts, augment, run.seed, run.device, run.folder,
               run.scratch, section.workers, run.recipe.evaluate.batch_size)  # fmt: skip


def _carry_out(job: Job, feed: Feed) -> FitResult:
    from nibblefit.training.lightning_loop import run_session
    from nibblefit.training.session import Session

    if job.settings.processes > 1:
        from nibblefit.training.processes import run_processes

        run_processes(job, feed)
        # The processes left a finished checkpoint: opening it here is the whole rest.
        feed = Silence()
    session = Session(job, 0, feed)
    run_session(session)
    state, choice = session.state, session.choice()
    made = {name: mask for part in job.parts for name, mask in part.masks().items()}
    return FitResult(session.network.cpu().eval(), tuple(state.history), choice.epoch, made, choice,
                     tuple(state.seconds))  # fmt: skip
