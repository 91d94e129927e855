"""How many CPU threads a training uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nibblefit.training.job import Job

#: Steps of fewer multiply-accumulates than this run on one thread. Splitting a step of a few
#: milliseconds gains little on an idle machine and, where other programs share the cores, loses
#: several times over, because every operator then waits for its slowest thread.
WORTH_SPLITTING = 1e9


def work_per_step(job: Job) -> float:
    """Return an upper bound of a forward pass's multiply-accumulates for one optimizer step.

    Every parameter is counted once per input position, which is exact for convolutions at full
    resolution.
    """
    parameters = sum(parameter.numel() for parameter in job.network.parameters())
    positions = math.prod(job.data.input_shape[1:])
    return float(parameters) * positions * job.settings.batch_size / job.settings.processes


@contextmanager
def fitting_threads(job: Job) -> Iterator[None]:
    """Use one thread for small steps, torch's number for others.

    The choice depends on the job alone, so small trainings give the same bytes on any machine's
    number of threads: sums are split by thread, and float sums depend on how they are split.
    """
    before = torch.get_num_threads()
    if not job.device.startswith("cuda") and work_per_step(job) < WORTH_SPLITTING:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
