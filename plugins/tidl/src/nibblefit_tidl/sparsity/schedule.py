"""When weights are thresholded, and by which fraction: the ramp of the sparse stage.

Three editions of caffe-jacinto differ in counting and stopping; published logs come from two of
them, so all three are here as data. Factors are added up in float32, as there: that is what decides
whether a last step falls on 0.80 or 0.81.

Source: tidsp/caffe-jacinto, src/caffe/solver.cpp, ThresholdNet: branch caffe-0.17 (edition 0.17),
branch caffe-0.16 (0.16), commit c6e021aa on it (early-0.16).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

#: The fraction may be raised above the target by this much, because caps hold zeros back …
OVERSHOOT = 0.15
#: … but never above this.
LARGEST_FRACTION = 0.95


class Edition(StrEnum):
    """Edition of caffe-jacinto whose counting is followed."""

    V0_17 = "0.17"  # fraction raised after use; stops on measured sparsity; iteration from 0
    V0_16 = "0.16"  # the same, the iteration counted before thresholding
    EARLY_0_16 = "early-0.16"  # fraction raised before use; stops when it reaches the target


@dataclass(frozen=True, slots=True)
class Schedule:
    """The ramp's settings, named as in TI's solver files.

    Attributes:
        target: Measured sparsity of the convolutions at which thresholding stops, 0 … 0.95.
        start_iter: First iteration at which thresholding may happen.
        start_factor: First fraction.
        step_iter: Iterations between thresholdings.
        step_factor: Added to the fraction after each.
        edition: See `Edition`.
    """

    target: float = 0.8
    start_iter: int = 0
    start_factor: float = 0.0
    step_iter: int = 1000
    step_factor: float = 0.01
    edition: Edition = Edition.V0_17

    @property
    def limit(self) -> float:
        """Largest fraction asked for, a float32 value."""
        raised = float(np.float32(self.target)) + OVERSHOOT
        return float(np.float32(min(raised, LARGEST_FRACTION)))

    def is_due(self, steps_done: int) -> bool:
        """Return whether a thresholding falls after this many optimizer steps (from 1)."""
        iteration = self.iteration(steps_done)
        return (
            self.target > 0.0
            and iteration >= self.start_iter
            and iteration % self.step_iter == 0
        )  # fmt: skip

    def iteration(self, steps_done: int) -> int:
        """Return the solver's own iteration number after this many optimizer steps."""
        return steps_done if self.edition is Edition.V0_16 else steps_done - 1


@dataclass(frozen=True, slots=True)
class Event:
    """One thresholding.

    Attributes:
        iteration: The solver's iteration number.
        fraction: Asked of wide layers; narrow ones get half.
        before: Sparsity of all convolutions before it.
        after: And after it.
    """

    iteration: int
    fraction: float
    before: float
    after: float


class Ramp:
    """The fraction on its way up.

    Args:
        schedule: The settings.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.factor = np.float32(schedule.start_factor)

    def ask(self, steps_done: int, achieved: float) -> float | None:
        """Return the fraction to threshold with after this step, None if there is none.

        Args:
            steps_done: Optimizer steps done, from 1.
            achieved: Measured sparsity of all convolutions.
        """
        if not self.schedule.is_due(steps_done) or self.is_finished(achieved):
            return None
        used = self.factor
        self.factor = np.float32(used + np.float32(self.schedule.step_factor))
        early = self.schedule.edition is Edition.EARLY_0_16
        return float(self.factor if early else used)

    def is_finished(self, achieved: float) -> bool:
        """Return whether no thresholding will follow at this sparsity."""
        target = np.float32(self.schedule.target)
        if self.schedule.edition is Edition.EARLY_0_16:
            return bool(self.factor >= target)
        return bool(self.factor > np.float32(self.schedule.limit)) or bool(
            np.float32(achieved) >= target
        )
