"""Learning-rate schedules: a factor on the peak rate as a function of the optimizer step."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from pydantic import Field, model_validator

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.recipe import TrainSection

#: Optimizer step, from 0, to factor.
Schedule: TypeAlias = Callable[[int], float]


class ConstantOptions(ReaderOptions):
    """Schedule ``constant`` has no settings."""


class CosineOptions(ReaderOptions):
    """Half a cosine from 1 down to `floor`."""

    floor: float = Field(default=0.0, ge=0, le=1, description="Factor at the end.")


class StepOptions(ReaderOptions):
    """Multiply by `factor` at every milestone."""

    milestones: tuple[float, ...] = Field(
        default=(0.5, 0.75), description="Epochs; numbers below 1 are shares of the training."
    )
    factor: float = Field(default=0.1, gt=0, description="Factor at each milestone.")


class PolyOptions(ReaderOptions):
    """``(1 - progress) ** power``."""

    power: float = Field(default=1.0, gt=0, description="1 falls in a straight line.")


class OneCycleOptions(ReaderOptions):
    """Cosine from `start` up to 1, then down to `end`."""

    rise: float = Field(default=0.3, gt=0, lt=1, description="Share of the steps that rise.")
    start: float = Field(default=0.04, ge=0, le=1, description="Factor of the first step.")
    end: float = Field(default=1e-4, ge=0, le=1, description="Factor at the end.")


class SoftStartOptions(ReaderOptions):
    """Exponentially from `floor` up to 1, level, and exponentially down to `floor` again."""

    soft_start: float = Field(default=0.15, ge=0, lt=1, description="Share of the steps that rise.")
    annealing: float = Field(default=0.8, gt=0, le=1, description="Share after which it falls.")
    floor: float = Field(default=0.0025, gt=0, le=1, description="Factor at start and end.")

    @model_validator(mode="after")
    def _rises_before_it_falls(self) -> SoftStartOptions:
        if self.soft_start >= self.annealing:
            raise ValueError("soft_start must be below annealing")
        return self


class SoftStartCosineOptions(ReaderOptions):
    """In a line from `floor` up to 1, then half a cosine down to `floor`."""

    soft_start: float = Field(default=0.15, ge=0, lt=1, description="Share of the steps that rise.")
    floor: float = Field(default=0.01, ge=0, le=1, description="Factor at start and end.")
    cut_short: bool = Field(
        default=False,
        description="As NVIDIA TAO computes it: the cosine is as long as the whole training, so "
        "the end lies above `floor`.",
    )


#: Name for ``train.schedule`` → what its ``train.schedule_options`` may hold.
OPTIONS: Mapping[str, type[ReaderOptions]] = {
    "constant": ConstantOptions,
    "cosine": CosineOptions,
    "step": StepOptions,
    "poly": PolyOptions,
    "onecycle": OneCycleOptions,
    "soft_start": SoftStartOptions,
    "soft_start_cosine": SoftStartCosineOptions,
}


def make_schedule(settings: TrainSection, steps: int) -> Schedule:
    """Return the recipe's schedule for a training of `steps` optimizer steps.

    With ``warmup`` the rate first rises in a straight line over that share of the steps, and the
    schedule runs over the rest; for onecycle, ``warmup`` replaces its `rise`.

    Raises:
        RecipeError: ``schedule_options`` do not fit the schedule.
    """
    if settings.schedule == "onecycle":
        return _one_cycle(settings, steps)
    rising = round(settings.warmup * steps)
    falling = max(1, steps - rising)
    body = _body(settings, rising / max(1, steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return body((step - rising) / falling)

    return factor


def _options(settings: TrainSection) -> ReaderOptions:
    where, kind = f"schedule {settings.schedule}", OPTIONS[settings.schedule]
    return read_options(kind, settings.schedule_options, where, "train.schedule_options")


def _body(settings: TrainSection, warmed: float) -> Callable[[float], float]:
    """Return the factor as a function of progress 0…1 after the warm-up."""
    options = _options(settings)
    if isinstance(options, CosineOptions):
        floor = options.floor
        return lambda x: floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * x))
    if isinstance(options, PolyOptions):
        power = options.power
        return lambda x: float((1.0 - x) ** power)
    if isinstance(options, StepOptions):
        # Milestones count from the start of the training, warm-up included.
        epochs = max(1, settings.epochs)
        marks = sorted(m if m < 1 else m / epochs for m in options.milestones)
        share, drop = 1.0 - warmed, options.factor
        return lambda x: float(drop ** bisect_right(marks, warmed + x * share + 1e-12))
    if isinstance(options, SoftStartOptions):
        return partial(_soft_start, options)
    if isinstance(options, SoftStartCosineOptions):
        return partial(_soft_start_cosine, options)
    return lambda x: 1.0  # noqa: ARG005 - same shape as the others


def _one_cycle(settings: TrainSection, steps: int) -> Schedule:
    options = _options(settings)
    assert isinstance(options, OneCycleOptions)
    rising = max(1, round((settings.warmup or options.rise) * steps))
    falling = max(1, steps - rising)

    def factor(step: int) -> float:
        if step < rising:
            return _blend(options.start, 1.0, step / rising)
        return _blend(1.0, options.end, (step - rising) / falling)

    return factor


def _soft_start(options: SoftStartOptions, x: float) -> float:
    """Source: tao_tensorflow1_backend, soft-start annealing (commit 2ec95cbb)."""
    if x < options.soft_start:
        risen = x / options.soft_start
    elif x <= options.annealing:
        risen = 1.0
    else:
        risen = (1.0 - x) / (1.0 - options.annealing)
    return float(options.floor ** (1.0 - risen))


def _soft_start_cosine(options: SoftStartCosineOptions, x: float) -> float:
    """Source: tao_tensorflow1_backend, soft-start cosine annealing (commit 2ec95cbb)."""
    if x < options.soft_start:
        return options.floor + (1.0 - options.floor) * x / options.soft_start
    phase = x - options.soft_start
    if not options.cut_short:
        phase /= 1.0 - options.soft_start
    return _blend(1.0, options.floor, phase)


def _blend(first: float, last: float, x: float) -> float:
    return last + (first - last) * 0.5 * (1.0 + math.cos(math.pi * x))
