"""The course of a training: epochs, judging, checkpoints, rewrites. Lightning runs the steps."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import torch
from torch import nn

from nibblefit.data.source import Split
from nibblefit.errors import InputError, LimitError
from nibblefit.tasks.protocol import rises
from nibblefit.training.batches import BatchPlan, SplitReader, TrainingBatches
from nibblefit.training.checkpoints import checkpoints, save_checkpoint
from nibblefit.training.choice import Choice, Judged, is_better, is_preferred, judged, reason
from nibblefit.training.evaluation import validate
from nibblefit.training.feed import Feed, Ticker
from nibblefit.training.history import VALIDATION, figures_of, write_history, write_seconds
from nibblefit.training.job import Job
from nibblefit.training.optimizers import (
    build_optimizer,
    optimizer_state,
    restore_optimizer,
    set_learning_rate,
)
from nibblefit.training.parts import Progress
from nibblefit.training.parts_library import MaskPart
from nibblefit.training.randomness import seed_epoch
from nibblefit.training.ranks import agree_on_buffers, from_first_rank, sum_over_ranks
from nibblefit.training.schedules import make_schedule
from nibblefit.training.state import (
    Best,
    TrainingState,
    copied_weights,
    fingerprint,
    from_checkpoint,
    rewritten,
    to_checkpoint,
)


class Session:
    """One process's view of a training.

    Args:
        job: What to do.
        rank: Number of this process.
        feed: Receives progress.
    """

    def __init__(self, job: Job, rank: int, feed: Feed) -> None:
        settings = job.settings
        train = SplitReader(job.data, Split.TRAIN, job.task)
        plan = BatchPlan(len(train), settings.batch_size, job.seed, settings.processes)
        self.job = job
        self.rank = rank
        self.network: nn.Module = job.network
        self.state = TrainingState()
        self.steps_per_epoch = plan.steps
        self.batches = TrainingBatches(train, plan, job.augment, rank, job.workers)
        self._judged = SplitReader(job.data, Split.VALIDATION, job.task)
        self._schedule = make_schedule(settings, plan.steps * settings.epochs)
        self._key = fingerprint(job.network, settings, job.parts, job.seed, len(train))
        self._feed = feed
        self._ticker = Ticker(feed)
        self._rate = 0.0
        self._began = time.monotonic()

    @property
    def progress(self) -> Progress:
        """Where the training stands."""
        epochs, steps = self.job.settings.epochs, self.steps_per_epoch
        return Progress(self.state.epoch, self.state.step, epochs, steps * epochs)

    # -- before the first step ---------------------------------------------------------------

    def open(self) -> None:
        """Take up the latest good checkpoint, or start; then ask for rewrites."""
        for path, saved in checkpoints(self.job.scratch):
            if isinstance(saved, InputError):
                self._feed.warn(f"{saved.what}; trying the one before it")
                continue
            if saved.get("key") != self._key:
                self._feed.say(f"{path.name} belongs to other settings, training starts anew")
                break
            self.state, self.network = from_checkpoint(
                saved, self.network, self.job.parts, self.job.seed
            )
            self._feed.advance(self.state.step, {})
            self._feed.say(f"going on after epoch {self.state.epoch}")
            break
        if not self.state.finished:
            self._rewrite()
            self._apply_masks()

    def optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer of the network as it is, with the state kept for it."""
        made = build_optimizer(self.network, self.job.settings, self.job.parts)
        restore_optimizer(made, self.network, self.state.optimizer)
        return made

    # -- in the loop -------------------------------------------------------------------------

    def before_step(self, optimizer: torch.optim.Optimizer, *, first: bool) -> None:
        """Seed the epoch at its first step, and set the learning rate."""
        if first:
            self._began = time.monotonic()
            seed_epoch(self.job.seed, self.state.epoch, self.rank)
        progress = self.progress
        self._rate = self.job.settings.learning_rate * self._schedule(progress.step)
        for part in self.job.parts:
            self._rate *= part.learning_rate_factor(progress)
        set_learning_rate(optimizer, self._rate)

    def after_step(self, loss: torch.Tensor) -> None:
        """Let buffers agree and parts act, in this order."""
        self.state.step += 1
        with torch.no_grad():
            agree_on_buffers(self.network)
            for part in self.job.parts:
                part.after_step(self.network, self.progress)
        if self._ticker.step():
            self._ticker.flush({"loss": float(loss)})

    def end_epoch(self, sums: torch.Tensor, optimizer: torch.optim.Optimizer) -> bool:
        """Judge, log and save; return whether the loop must stop, for good or for a rewrite.

        Args:
            sums: This process's (sum of losses, samples) of the epoch.
            optimizer: The optimizer in use.
        """
        total, count = sum_over_ranks(sums).tolist()
        ended = self.progress
        record = {"epoch": ended.epoch + 1.0, "step": float(self.state.step),
                  "learning_rate": self._rate, "loss": total / count}  # fmt: skip
        if not math.isfinite(record["loss"]):
            raise LimitError(
                f"the training loss became {record['loss']} in epoch {ended.epoch + 1}",
                hint="lower train.learning_rate, or set train.gradient_clip = 1.0",
            )
        found = self._validate()
        record.update({f"{VALIDATION}{name}": value for name, value in found.items()})
        for part in self.job.parts:
            record.update(part.figures(self.network))
        self.state.epoch += 1
        self.state.history.append(record)
        self._judge(record, ended)
        self.state.seconds.append(time.monotonic() - self._began)
        self._write()
        self._save(optimizer)
        self._ticker.flush(figures_of(record))
        self.batches.start(self.state.epoch)
        return self.state.finished or self._rewrite(optimizer)

    def _validate(self) -> Mapping[str, float]:
        found: Mapping[str, float] = {}
        if self.rank == 0:
            job = self.job
            found = validate(self.network, job.task, self._judged, job.judge_batch)
        return dict(from_first_rank(dict(found)))

    def _judge(self, record: Mapping[str, float], ended: Progress) -> None:
        settings, state = self.job.settings, self.state
        found = judged(record, self.job.task.metric)
        state.finished = state.epoch >= settings.epochs
        if not all(part.settled(ended) for part in self.job.parts):
            return
        if found is not None and is_better(found, state.top, maximize=self._maximize):
            state.top, state.stale = found, 0
        elif VALIDATION + self.job.task.metric in record:
            state.stale += 1
        state.finished = state.finished or 0 < settings.early_stop <= state.stale
        if found is not None and self._has_checkpoint():
            self._offer(found)

    def _offer(self, found: Judged) -> None:
        """Take an epoch with a checkpoint if it is the best of those."""
        state = self.state
        state.candidates.append(found.epoch)
        best = None if state.best is None else state.best.judged
        if is_preferred(found, best, maximize=self._maximize):
            state.best = Best(found, copied_weights(self.network))

    def _has_checkpoint(self) -> bool:
        every = self.job.settings.checkpoint_every
        return self.state.finished or self.state.epoch % every == 0

    def _write(self) -> None:
        if self.rank == 0:
            write_history(self.job.folder, self.state.history, self.choice().epoch)
            write_seconds(self.job.folder, self.state.seconds)

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        state, job = self.state, self.job
        if self.rank != 0 or not self._has_checkpoint():
            return
        state.optimizer = optimizer_state(optimizer, self.network)
        saved = to_checkpoint(state, self.network, job.parts, self._key)
        save_checkpoint(job.scratch, state.epoch, saved)

    # -- between segments --------------------------------------------------------------------

    def _rewrite(self, optimizer: torch.optim.Optimizer | None = None) -> bool:
        """Ask every part for a rewrite before the coming epoch; return whether there was one."""
        progress, changed, keep = self.progress, False, True
        kept = optimizer_state(optimizer, self.network) if optimizer else {}
        for number, part in enumerate(self.job.parts):
            network = rewritten(part, self.network, progress, self.job.seed)
            if network is not None:
                self.network, changed = network, True
                keep = keep and part.keeps_momentum
                self.state.rewrites.append((number, progress))
        if changed:
            # Epochs before a rewrite had another network: the best is looked for anew.
            self.state.best, self.state.top, self.state.stale = None, None, 0
            self.state.candidates.clear()
            if optimizer is not None or not keep:
                self.state.optimizer = kept if keep else {}
            self._apply_masks()
        return changed

    def _apply_masks(self) -> None:
        for part in self.job.parts:
            if isinstance(part, MaskPart):
                part.apply(self.network)

    def choice(self) -> Choice:
        """Return which of the epochs so far is kept, and why."""
        state, metric = self.state, self.job.task.metric
        if self.job.settings.choose == "last":
            return Choice(state.epoch, state.epoch, "the last, as train.choose asks")
        if state.best is None or state.top is None:
            return Choice(state.epoch, state.epoch, f"the last: {self._why_none(metric)}")
        records = {int(record["epoch"]): record for record in state.history}
        others = [judged(records[epoch], metric) for epoch in state.candidates]
        words = reason(
            state.best.judged, [one for one in others if one is not None], state.top, metric,
            maximize=self._maximize, every=self.job.settings.checkpoint_every,
        )  # fmt: skip
        return Choice(state.best.judged.epoch, state.epoch, words, judged=True)

    def _why_none(self, metric: str) -> str:
        name, history = VALIDATION + metric, self.state.history
        if not any(name in record for record in history):
            return "there are no validation samples"
        if any(judged(record, metric) for record in history):
            return "the network was still being changed before it"
        return f"no epoch has a finite {name}"

    @property
    def _maximize(self) -> bool:
        return rises(self.job.task.metric, self.job.task)

    def close(self) -> None:
        """Leave the chosen epoch's weights in the network."""
        best, choice = self.state.best, self.choice()
        # A training that was killed after its last epoch comes here with an empty folder.
        self._write()
        if len(self._judged) and self.job.settings.choose == "best" and not choice.judged:
            self._feed.warn(f"kept epoch {choice.epoch} of {choice.epochs}: {choice.why}")
        if self.job.settings.choose == "best" and best is not None:
            self.network.load_state_dict(best.weights)
