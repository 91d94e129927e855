"""Whether the sparse stage can reach its target at all: said before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from nibblefit.ir.graph import Graph
from nibblefit_tidl.sparsity.eligibility import Convolution, convolutions
from nibblefit_tidl.sparsity.schedule import Edition, Schedule


def obstacles(graph: Graph, schedule: Schedule, steps: int) -> list[str]:
    """Return why the target will not be reached, one line each; nothing if it can be.

    Args:
        graph: The network.
        schedule: Of the thresholding.
        steps: Optimizer steps of the sparse stage.
    """
    return [*_time(schedule, steps), *_layers(convolutions(graph), schedule)]


def last_fraction(schedule: Schedule, steps: int) -> float | None:
    """Return the largest fraction that so many optimizer steps ask for, None if there is none.

    The measured sparsity is taken to stay below the target, so that nothing stops the ramp but
    its own end.
    """
    first = max(schedule.start_iter, schedule.iteration(1))
    skipped = -(-first // schedule.step_iter)
    events = schedule.iteration(steps) // schedule.step_iter - skipped + 1
    if steps < 1 or events < 1 or schedule.target <= 0.0:
        return None
    raised = events if schedule.edition is Edition.EARLY_0_16 else events - 1
    fraction = schedule.start_factor + raised * schedule.step_factor
    early = schedule.edition is Edition.EARLY_0_16
    return min(fraction, schedule.target + schedule.step_factor if early else schedule.limit)


def most_zeros(layers: Sequence[Convolution], fraction: float) -> float:
    """Return the share of all weights that are zero if every layer gets its part of `fraction`."""
    total = sum(prod(layer.shape) for layer in layers)
    zeros = sum(min(1.0, layer.share * fraction) * prod(layer.shape) for layer in layers)
    return zeros / total if total else 0.0


def _time(schedule: Schedule, steps: int) -> list[str]:
    reached = last_fraction(schedule, steps)
    # Steps of float32 may fall just short of the target that they add up to.
    if reached is not None and np.float32(reached) >= np.float32(schedule.target):
        return []
    found = "never begins" if reached is None else f"ends at {reached:.1%}"
    line = (
        f"the sparse stage has {steps:,} iterations, and in these thresholding {found} instead of "
        f"{schedule.target:.1%}: it starts at {schedule.start_iter:,} and adds "
        f"{schedule.step_factor:g} every {schedule.step_iter:,}; give [train.sparse] more epochs, "
        "or leave start_iter, step_iter and step_factor of [target.sparsity] unset, which fits "
        "them to the stage"
    )
    return [line]


def _layers(layers: Sequence[Convolution], schedule: Schedule) -> list[str]:
    best = most_zeros(layers, schedule.limit)
    if best >= schedule.target or not layers:
        return []
    sizes = dict.fromkeys(("never thresholded", "narrow, which get half"), 0)
    for layer in layers:
        if layer.share < 1.0:
            kind = "narrow, which get half" if layer.is_eligible else "never thresholded"
            sizes[kind] += prod(layer.shape)
    total = sum(prod(layer.shape) for layer in layers)
    why = ", ".join(f"{size / total:.0%} in layers {kind}" for kind, size in sizes.items() if size)
    line = (
        f"at most {best:.1%} of the weights can become zero instead of {schedule.target:.1%}: "
        f"{why}; use layers of 32 channels and more with kernels above 2x2, or lower "
        "target.sparsity.target"
    )
    return [line]
