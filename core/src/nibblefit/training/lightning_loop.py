"""The loop over epochs and steps, on Lightning (extra ``train``). Import this module late."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import Tensor

from nibblefit.training.batches import Batch
from nibblefit.training.job import Job
from nibblefit.training.optimizers import hold_frozen
from nibblefit.training.randomness import deterministic, restored_generators
from nibblefit.training.session import Session
from nibblefit.training.threads import fitting_threads


class Loop(pl.LightningModule):
    """Carries a session's steps; the session decides everything else."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.network = session.network
        self._session = session
        self._sums = torch.zeros(2, dtype=torch.float64)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the session's optimizer."""
        return self._session.optimizer()

    def on_train_epoch_start(self) -> None:
        """Start the sums of an epoch."""
        self._sums = torch.zeros(2, dtype=torch.float64, device=self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Prepare a step."""
        self._session.before_step(self._optimizer, first=batch_idx == 0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the loss of a batch: the task's, as parts change it, and every penalty."""
        job, progress = self._session.job, self._session.progress
        outputs = self.network(batch.inputs)
        loss: Tensor = job.task.loss(outputs, batch.target)
        for part in job.parts:
            loss = part.joined_loss(loss, outputs, batch.inputs, progress)
        penalties = [part.penalty(self.network, progress) for part in job.parts]
        penalty = sum(term for term in penalties if term is not None)
        self._sums[0] += (loss + penalty).detach().double() * batch.size
        self._sums[1] += batch.size
        return loss * batch.weight + penalty

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Finish a step."""
        self._session.after_step(outputs["loss"].detach())

    def on_train_epoch_end(self) -> None:
        """Finish an epoch."""
        if self._session.end_epoch(self._sums, self._optimizer):
            self.trainer.should_stop = True

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]


class _Interrupts(Callback):
    """Remembers Ctrl-C, which Lightning turns into an exit of the whole program."""

    def __init__(self) -> None:
        self.seen: BaseException | None = None

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        self.seen = exception


def run_session(session: Session) -> None:
    """Train from where the session stands to its end; one trainer between two rewrites."""
    with _quiet(), deterministic(), restored_generators(), fitting_threads(session.job):
        session.open()
        while not session.state.finished:
            _require_group(session.job)
            session.network.train()
            hold_frozen(session.network, session.job.settings)
            session.batches.start(session.state.epoch)
            _fit(session)
        session.close()


def _require_group(job: Job) -> None:
    """Refuse to train alone what several processes left unfinished.

    They end without an error only if they were interrupted. Outside their group Lightning would
    start the user's whole program once more for every process, and kill this one in the end.
    """
    if job.settings.processes > 1 and not torch.distributed.is_initialized():
        raise KeyboardInterrupt


def _fit(session: Session) -> None:
    interrupts = _Interrupts()
    handler = _interrupt_handler()
    try:
        _trainer(session, interrupts).fit(Loop(session), session.batches)
    except SystemExit:
        if not isinstance(interrupts.seen, KeyboardInterrupt):
            raise
        raise KeyboardInterrupt from interrupts.seen
    finally:
        if handler is not None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)


def _interrupt_handler() -> Any:
    in_main = threading.current_thread() is threading.main_thread()
    return signal.getsignal(signal.SIGINT) if in_main else None


def _trainer(session: Session, interrupts: Callback) -> pl.Trainer:
    settings = session.job.settings
    return pl.Trainer(
        accelerator="gpu" if session.job.device.startswith("cuda") else "cpu",
        devices=settings.processes,
        strategy=_strategy(session),
        plugins=[LightningEnvironment()],
        max_epochs=settings.epochs - session.state.epoch,
        gradient_clip_val=settings.gradient_clip or None,
        callbacks=[interrupts],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(session.job.scratch),
    )


def _strategy(session: Session) -> str | Strategy:
    if session.job.settings.processes == 1:
        return "auto"
    backend = "nccl" if session.job.device.startswith("cuda") else "gloo"
    # Buffers are averaged by the session; outputs that no loss reads leave parameters unused.
    return DDPStrategy(
        process_group_backend=backend, broadcast_buffers=False, find_unused_parameters=True
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's banners and advice about its own settings from the user."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    tips = os.environ.get("POSSIBLE_USER_WARNINGS")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
        warnings.filterwarnings("ignore", message=r"find_unused_parameters=True was specified.*")
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
            if tips is not None:
                os.environ["POSSIBLE_USER_WARNINGS"] = tips
