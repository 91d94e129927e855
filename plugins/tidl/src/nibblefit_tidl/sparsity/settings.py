"""Settings of the L1 and the sparse stage, named as in TI's solver files."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nibblefit_tidl.sparsity.schedule import Edition, Schedule
from nibblefit_tidl.sparsity.threshold import Caps

Share = Annotated[float, Field(ge=0.0, le=1.0)]

#: Where an unset ramp lies within the stage: TI's ImageNet recipe starts at 20,000 of 160,000
#: iterations and thresholds for the last time at 101,000 (caffe-jacinto-models, JacintoNet11).
_RAMP_STARTS, _RAMP_ENDS = 0.125, 0.63


class SparsityOptions(BaseModel):
    """``[target.sparsity]``: how many weights of the convolutions become zero, and how fast."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    target: Annotated[float, Field(gt=0.0, le=0.95)] = Field(
        default=0.8, description="Share of zero weights, over all convolutions, to stop at."
    )
    start_iter: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="First iteration that may threshold. Unset: an eighth of the stage.",
    )
    start_factor: Share = Field(default=0.0, description="First share of zeros asked for.")
    step_iter: Annotated[int, Field(gt=0)] | None = Field(
        default=None,
        description="Iterations between thresholdings. Unset: so many that the target is reached "
        "at five eighths of the stage.",
    )
    step_factor: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        default=None,
        description="Added to the asked share after each thresholding. Unset: 0.01, more where the "
        "stage is too short for that.",
    )
    threshold_maxratio: Annotated[float, Field(gt=0.0)] = Field(
        default=0.2,
        description="A threshold may not exceed this times the largest weight of the channel.",
    )
    threshold_value_max: Annotated[float, Field(gt=0.0)] = Field(
        default=0.2, description="Nor this."
    )
    thresholds: Literal["channel", "layer"] = Field(
        default="channel", description="One threshold per output channel, or one per layer."
    )
    edition: Literal["0.17", "0.16", "early-0.16"] = Field(
        default="0.17", description="Edition of caffe-jacinto whose counting is followed."
    )

    @property
    def caps(self) -> Caps:
        """Limits of every threshold."""
        return Caps(self.threshold_value_max, self.threshold_maxratio)

    def schedule(self, steps: int) -> Schedule:
        """Return the schedule for a stage of so many optimizer steps; unset values are derived."""
        start = int(steps * _RAMP_STARTS) if self.start_iter is None else self.start_iter
        room = max(1, int(steps * _RAMP_ENDS) - start)
        rise = max(0.0, self.target - self.start_factor)
        factor = self.step_factor
        if factor is None:
            # One event more than the rise needs: the last fraction asked overshoots the target.
            factor = max(0.01, rise / max(1, room - 1))
        events = max(1, math.ceil(rise / factor) + 1)
        step = max(1, room // events) if self.step_iter is None else self.step_iter
        if self.start_iter is None:
            # Thresholding falls on multiples of step_iter.
            start = -(-start // step) * step
        return Schedule(self.target, start, self.start_factor, step, factor, Edition(self.edition))
