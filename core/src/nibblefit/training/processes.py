"""Training in several processes of one machine."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import torch
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from nibblefit.errors import InputError, InterruptedRunError, NibblefitError
from nibblefit.training.feed import Feed, QueueFeed, Silence, forward
from nibblefit.training.job import Job

#: Seconds between two looks at the processes.
POLL = 0.05
_LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"


def run_processes(job: Job, feed: Feed) -> None:
    """Carry out a job in ``settings.processes`` processes; its result is the last checkpoint.

    Raises:
        InputError: The job cannot be sent to another process, or there are too few GPUs.
        NibblefitError: Whatever a process reported.
        InterruptedRunError: A process was killed from outside.
    """
    count = job.settings.processes
    if job.device.startswith("cuda") and torch.cuda.device_count() < count:
        raise InputError(
            f"train.processes is {count}, this machine has {torch.cuda.device_count()} GPUs",
            hint="use one process per GPU",
        )
    method = _start_method()
    queue = torch.multiprocessing.get_context(method).SimpleQueue()
    launch: Callable[..., Any] = start_processes
    threads = max(1, torch.get_num_threads() // count)
    with TemporaryDirectory(prefix="nibblefit-") as meeting, _quiet_start():
        arguments = (_packed(job), count, threads, str(Path(meeting) / "ranks"), queue)
        started = launch(_work, arguments, nprocs=count, join=False, start_method=method)
        try:
            _follow(started, queue, feed)
        finally:
            for process in started.processes:
                process.kill()
                process.join()


def _start_method() -> str:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    # The server imports Lightning once; processes forked from it start in a moment. Forking this
    # process instead would copy its threads' locks.
    multiprocessing.set_forkserver_preload(["nibblefit.training.lightning_loop"])
    return "forkserver"


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Show errors only: torch warns about a setting chosen here, and when it ends a process."""
    before = os.environ.get(_LOG_LEVEL)
    log = logging.getLogger(start_processes.__module__)
    level = log.level
    log.setLevel(logging.ERROR)
    os.environ.setdefault(_LOG_LEVEL, "ERROR")
    try:
        yield
    finally:
        log.setLevel(level)
        if before is None:
            del os.environ[_LOG_LEVEL]


def _packed(job: Job) -> bytes:
    # Bytes and not the job itself: tensors sent as arguments would stay shared between the
    # processes, and every process would train the same memory.
    try:
        return pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"this training cannot be sent to other processes: {error}",
            hint="set train.processes = 1, or define network, task and parts in a module",
        ) from error


def _follow(started: Any, queue: Any, feed: Feed) -> None:
    failure: NibblefitError | None = None
    try:
        ended = False
        while not ended:
            ended = started.join(timeout=POLL)
            failure = _drain(queue, feed) or failure
    except Exception as error:
        # A process that ends in an explained error says so in the queue before it goes.
        failure = _drain(queue, feed) or failure
        if failure is None:
            killed = _killed(started, error)
            if killed is None:
                raise
            raise killed from error
    if failure is not None:
        raise failure


def _killed(started: Any, error: Exception) -> InterruptedRunError | None:
    """Return what to say if a process was killed from outside; None if it failed by itself.

    The other processes then fail as well, for want of an answer, and may be noticed first; those
    that torch ends after that get SIGTERM.
    """
    own = error.exit_code if isinstance(error, ProcessExitedException) else 0
    codes = [process.exitcode or 0 for process in started.processes]
    # At the moment of the first failure the killed process may not be collected yet.
    fatal = [c for c in (own, *codes) if c < 0 and (c != -signal.SIGTERM or c == own)]
    if not fatal:
        return None
    name = signal.Signals(-fatal[0]).name
    return InterruptedRunError(
        f"a training process was killed from outside ({name}); checkpoints are kept",
        hint="run the same command again to go on from the last one; if memory ran out, lower "
        "train.batch_size or train.processes",
    )


def _drain(queue: Any, feed: Feed) -> NibblefitError | None:
    failure: NibblefitError | None = None
    while not queue.empty():
        message = queue.get()
        if message[0] == "error":
            failure = failure or message[1]
        else:
            forward(message, feed)
    return failure


def _work(  # noqa: PLR0917 - positional by spawn
    rank: int, packed: bytes, count: int, threads: int, meeting: str, queue: Any
) -> None:
    import torch.distributed as dist

    from nibblefit.training.lightning_loop import run_session
    from nibblefit.training.session import Session

    Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE=str(count))
    job: Job = pickle.loads(packed)  # noqa: S301 - made by the parent, sent over its own pipe
    cuda = job.device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(rank)
    # A file as meeting point needs no port, so two runs cannot get in each other's way.
    dist.init_process_group(
        "nccl" if cuda else "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count
    )
    try:
        run_session(Session(job, rank, QueueFeed(queue) if rank == 0 else Silence()))
    except NibblefitError as error:
        queue.put(("error", error))
        sys.exit(1)
    finally:
        dist.destroy_process_group()


def _leave_with_parent() -> None:
    """End this process when the one that started it is gone, even by a kill.

    A resumed run would otherwise share its folder with the remains of the killed one.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
