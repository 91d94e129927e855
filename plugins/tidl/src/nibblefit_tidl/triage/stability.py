"""Whether calibration has seen enough: ranges from two halves of the calibration set, compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.ir.graph import Graph
from nibblefit.quantization.assign import calibrated_tensors
from nibblefit.quantization.calibrate import observe
from nibblefit.quantization.units import units
from nibblefit_tidl.configuration.provider_rules import FEWEST_FRAMES
from nibblefit_tidl.current.modes import Mode, mode_of
from nibblefit_tidl.current.qat.ranges import ranges_of
from nibblefit_tidl.current.ranges import Range, activation_ranges
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.triage.differences import Frames
from nibblefit_tidl.triage.opening import Subject

#: Ends of a range that differ by more than this share of the range between the halves are not
#: settled. A tenth of a range is a seventh of a bit of resolution.
UNSETTLED = 0.1


@dataclass(frozen=True, slots=True)
class Spread:
    """The range of one tensor in the two halves.

    Attributes:
        tensor: Its name.
        first, second: Range that each half gives, by the run's own rules.
        apart: Largest distance of two ends over the wider range.
        bits: How many bits of resolution the halves' ranges are apart.
    """

    tensor: str
    first: Range
    second: Range
    apart: float
    bits: float


@dataclass(frozen=True, slots=True)
class Stability:
    """How settled the ranges are.

    Attributes:
        samples: Calibration samples in all.
        spreads: By tensor, least settled first.
        skipped: Why nothing was compared; empty if it was.
    """

    samples: int
    spreads: tuple[Spread, ...] = ()
    skipped: str = ""

    @property
    def unsettled(self) -> tuple[Spread, ...]:
        """Tensors whose ranges are not settled."""
        return tuple(spread for spread in self.spreads if spread.apart > UNSETTLED)

    @property
    def too_few(self) -> bool:
        """Whether there are too few calibration samples."""
        return not self.skipped and (self.samples < FEWEST_FRAMES or bool(self.unsettled))

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        if self.skipped:
            return self.skipped
        if self.samples < FEWEST_FRAMES:
            return (
                f"{self.samples} calibration samples are too few; use at least {FEWEST_FRAMES}, "
                "better 50 or more"
            )
        if self.unsettled:
            worst = self.unsettled[0]
            return (
                f"{len(self.unsettled)} of {len(self.spreads)} ranges differ by more than "
                f"{UNSETTLED:.0%} between the halves of {self.samples} samples, most '"
                f"{worst.tensor}' ({worst.apart:.0%}); raise quantize.calibration_samples"
            )
        return f"ranges are settled: both halves of {self.samples} samples give nearly the same"


def calibration_stability(subject: Subject) -> Stability:
    """Return how much the ranges of a run depend on which samples calibrated it."""
    run = subject.run
    count = calibration_count(run)
    if subject.classic:
        return Stability(count, skipped="tidl-classic chooses its shifts frame by frame; "
                         "calibration only sets where they start")  # fmt: skip
    if ranges_of(subject.model):
        return Stability(count, skipped="the ranges come from quantized training, not from "
                         "calibration")  # fmt: skip
    if count < 2:
        return Stability(count, ())
    mode = mode_of(device_named(run.part), run.options)
    shrink = run.options.activation_range_shrink
    halves = [
        ranges_from(
            subject.folded, mode, shrink,
            half_of(calibration_batches(run, subject.model, count), start),
        )
        for start in (0, 1)
    ]  # fmt: skip
    return Stability(count, spreads_of(*halves))


def half_of(batches: Iterable[Frames], start: int) -> Iterator[Frames]:
    """Yield every second frame, from frame `start` (0 or 1) on."""
    seen = 0
    for batch in batches:
        part = batch[(start - seen) % 2 :: 2]
        seen += len(batch)
        if len(part):
            yield part


def ranges_from(
    folded: Graph, mode: Mode, shrink: float, batches: Iterable[Frames]
) -> dict[str, Range]:
    """Return the ranges that some frames give, by the rules of a mode."""
    parts = units(folded, mode.numerics)
    histograms = observe(folded, batches, calibrated_tensors(folded, parts))
    return activation_ranges(folded, parts, histograms, mode, shrink)


def spreads_of(first: dict[str, Range], second: dict[str, Range]) -> tuple[Spread, ...]:
    """Return how far the ranges of two halves are apart, least settled first."""
    found = [_spread(name, first[name], second[name]) for name in first]
    return tuple(sorted(found, key=lambda spread: (-spread.apart, spread.tensor)))


def _spread(tensor: str, first: Range, second: Range) -> Spread:
    widths = [hi - lo for lo, hi in (first, second)]
    distance = max(abs(a - b) for a, b in zip(first, second, strict=True))
    apart = distance / max(widths) if max(widths) > 0 else 0.0
    bits = math.inf if apart > 0 else 0.0
    if min(widths) > 0:
        bits = abs(math.log2(widths[0] / widths[1]))
    return Spread(tensor, first, second, apart, bits)
