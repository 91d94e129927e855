"""Which layers deserve 16 bits: measured, by giving them to one layer at a time.

Every layer that can change width alone is switched to 16 bits, the integer network is made anew
from the same ranges (without bias calibration) and run; what the outputs gain is the layer's rank.
TI's rule of thumb, the first and the last convolution, is measured beside it.
Source of that rule: edgeai-tidl-tools 11_00_06_00, mixed precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nibblefit.defaults.evaluation.inputs import input_codes
from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.engine import Engine
from nibblefit.fixed.formats import FloatArray
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.assign import calibrated_tensors
from nibblefit.quantization.build import lower
from nibblefit.quantization.calibrate import observe, run_batches
from nibblefit.quantization.units import Unit, units
from nibblefit.run import Reporter
from nibblefit_tidl.current.automatic import latency, unit_times
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.precision import WIDE, Precision, candidates, mixed, uniform
from nibblefit_tidl.current.quantize import assign
from nibblefit_tidl.current.ranges import activation_ranges
from nibblefit_tidl.current.settings import settings_of
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.triage.differences import Frames, decibels, scored_tensors
from nibblefit_tidl.triage.opening import Subject

#: A choice of layers is suggested once it wins this share of what 16 bits everywhere win, in dB.
SHARE = 0.5
#: Most layers suggested; more make 16 bits everywhere the simpler answer.
MOST = 8
#: Most frames that gains are measured on. TI's automatic choice takes a quarter of the calibration
#: frames, of which 50 are advised.
FRAMES = 16
#: 16 bits everywhere must win this much, in dB, to be worth any layer: one bit is 6 dB.
WORTH = 3.0
FIRST, LAST = "first convolution", "last convolution"


@dataclass(frozen=True, slots=True)
class Gain:
    """What 16 bits bring, in one layer or in several.

    Attributes:
        names: Output tensors asked for, as ``output_feature_16bit_names`` takes them.
        op: Operator of a lone layer.
        decibels: Signal to noise of the network's outputs with them.
        gain: Decibels above the outputs without them.
        latency: Estimated time over that without them.
        hint: `FIRST`, `LAST` or empty.
    """

    names: tuple[str, ...]
    op: str
    decibels: float
    gain: float
    latency: float
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Layers by what 16 bits in each alone bring.

    Attributes:
        frames: Frames the gains are measured on.
        base: Decibels of the outputs at the widths of the run.
        gains: One per layer, the best first.
        suggested: The shortest start of the ranking that wins `SHARE` of `everywhere`, the best one
            of up to `MOST` layers if none does; None if 16 bits are not worth it.
        rule: First and last convolution together.
        everywhere: 16 bits for everything.
        skipped: Why nothing was measured; empty if it was.
    """

    frames: int = 0
    base: float = math.nan
    gains: tuple[Gain, ...] = ()
    suggested: Gain | None = None
    rule: Gain | None = None
    everywhere: Gain | None = None
    skipped: str = ""

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        if self.skipped or self.everywhere is None:
            return self.skipped
        if self.suggested is None:
            return (
                f"16 bits everywhere gain {self.everywhere.gain:.1f} dB: widths are not what "
                "limits this network"
            )
        few = self.suggested.gain < SHARE * self.everywhere.gain
        return (
            f"16 bits for {', '.join(self.suggested.names)} gain {self.suggested.gain:.1f} of the "
            f"{self.everywhere.gain:.1f} dB that 16 bits everywhere gain, in "
            f"{self.suggested.latency:.2f} instead of {self.everywhere.latency:.2f} times the time"
            + (
                "; no few layers gain half of it: the noise is spread over all of them"
                if few
                else ""
            )
        )


def rank_layers(subject: Subject, frames: Frames, reporter: Reporter) -> Ranking:
    """Return the layers of a run ranked by measured gain."""
    if subject.classic:
        return Ranking(skipped="tidl-classic has one width for all layers (parameter_bits)")
    options: TidlOptions = subject.run.options
    if options.tensor_bits != 8:
        return Ranking(skipped=f"every layer has {options.tensor_bits} bits already")
    run, count = subject.run, calibration_count(subject.run)
    return rank_network(
        subject.folded, subject.graph, options, run.part, frames[:FRAMES], reporter,
        calibration_batches(run, subject.model, count),
    )  # fmt: skip


def rank_network(  # noqa: PLR0917 - the nouns that decide the integers
    folded: Graph, graph: QuantizedGraph, options: TidlOptions, part: str, frames: Frames,
    reporter: Reporter, calibration: Iterable[Frames] = (),
) -> Ranking:  # fmt: skip
    """Return the layers of a network ranked by measured gain.

    Args:
        folded: The float graph without batch norm.
        graph: Its 8-bit integer graph, whose metadata has ranges and widths.
        options: Options it was made with.
        part: Device it was made for.
        frames: Real inputs.
        reporter: Shows progress.
        calibration: What the graph was calibrated on; read only where 16 bits need ranges that 8
            bits did without, such as those of averages that keep their input's scale.
    """
    trial = _Trial(folded, graph, options, part, frames)
    trial.start_from(calibration)
    single = [unit for unit in candidates(trial.parts) if trial.can_widen(unit)]
    with reporter.progress("16 bits, layer by layer", len(single)) as bar:
        found = []
        for unit in single:
            found.append(trial.gain((unit.tensors[0],), unit.node.op.value, trial.hint(unit)))
            bar.advance()
    gains = tuple(sorted(found, key=lambda gain: (-gain.gain, gain.names)))
    edges = tuple(dict.fromkeys(gain.names[0] for gain in found if gain.hint))
    everywhere = trial.gain_of(uniform(WIDE), ("*",))
    return Ranking(
        len(frames), trial.base, gains, _suggested(trial, gains, everywhere),
        trial.gain(edges) if edges else None, everywhere,
    )  # fmt: skip


def _suggested(trial: _Trial, gains: tuple[Gain, ...], everywhere: Gain) -> Gain | None:
    if everywhere.gain < WORTH:
        return None
    chosen: tuple[str, ...] = ()
    best: Gain | None = None
    for gain in gains[:MOST]:
        if gain.gain <= 0:
            break
        chosen = (*chosen, *gain.names)
        joint = trial.gain(chosen)
        if best is None or joint.gain > best.gain:
            best = joint
        if joint.gain >= SHARE * everywhere.gain:
            return joint
    return best


class _Trial:
    """The network at widths to try."""

    def __init__(self, folded: Graph, graph: QuantizedGraph, options: TidlOptions, part: str,
                 frames: Frames) -> None:  # fmt: skip
        self.folded, self.options, self.frames = folded, options, frames
        self.mode = replace(mode_of(device_named(part), options), mixed=True)
        self.parts: tuple[Unit, ...] = units(folded, self.mode.numerics)
        self.ranges = {
            n: (float(lo), float(hi)) for n, (lo, hi) in graph.metadata["ranges"].items()
        }
        facts: Mapping[str, tuple[str, ...]] = graph.metadata
        self.start = Precision(
            tensors=frozen_mapping(dict.fromkeys(facts["tensors_16bit"], WIDE)),
            weights=frozen_mapping(dict.fromkeys(facts["weights_16bit"], WIDE)),
        )
        self.times = unit_times(folded, self.parts)
        (values,) = run_batches(folded, [frames])
        self.scored = scored_tensors(folded)
        self.wanted = {name: values[name].double().numpy() for name in self.scored}
        convolutions = [unit.node.name for unit in self.parts if unit.node.op is Op.CONV]
        self.first, self.last = convolutions[:1], convolutions[-1:]
        self.base = math.nan

    def start_from(self, calibration: Iterable[Frames]) -> None:
        """Measure the ranges that are missing, then the outputs at the widths of the run."""
        missing = set(calibrated_tensors(self.folded, self.parts)) - set(self.ranges)
        if missing:
            histograms = observe(self.folded, calibration, missing)
            shrink = self.options.activation_range_shrink
            found = activation_ranges(self.folded, self.parts, histograms, self.mode, shrink)
            self.ranges.update(found)
        self.base = self._decibels(self.start)

    def hint(self, unit: Unit) -> str:
        """Return whether a unit is TI's first or last convolution."""
        if unit.node.name in self.first:
            return FIRST
        return LAST if unit.node.name in self.last else ""

    def can_widen(self, unit: Unit) -> bool:
        """Return whether the device has the layer in 16 bits, and they change anything."""
        if unit.node.op is Op.CONV_TRANSPOSE and not self.mode.device.wide_deconvolution:
            return False
        return self._widths((unit.tensors[0],)).tensors != self.start.tensors

    def gain(self, names: tuple[str, ...], op: str = "", hint: str = "") -> Gain:
        """Return what 16 bits for some tensors bring."""
        return self.gain_of(self._widths(names), names, op, hint)

    def gain_of(self, precision: Precision, names: tuple[str, ...], op: str = "",
                hint: str = "") -> Gain:  # fmt: skip
        """Return what some widths bring."""
        found = self._decibels(precision)
        time = latency(self.parts, self.times, precision)
        factor = time / latency(self.parts, self.times, self.start)
        return Gain(
            names, op, found, 0.0 if found == self.base else found - self.base, factor, hint
        )

    def _widths(self, names: tuple[str, ...]) -> Precision:
        asked = mixed(self.folded, self.parts, names)
        return replace(
            self.start,
            tensors=frozen_mapping({**self.start.tensors, **asked.tensors}),
            weights=frozen_mapping({**self.start.weights, **asked.weights}),
        )

    def _decibels(self, precision: Precision) -> float:
        settings = settings_of(self.mode, self.options, precision)
        assignment, _ = assign(self.folded, self.parts, self.ranges, settings)
        graph = lower(self.folded, self.parts, self.mode.numerics, assignment, target="tidl")
        done = Engine(graph).run(input_codes(graph, self.frames), keep=self.scored).tensors
        found: dict[str, FloatArray] = {
            name: dequantize(done[name], graph.tensors[name].format) for name in self.wanted
        }
        signal = sum(float(np.sum(values**2)) for values in self.wanted.values())
        noise = sum(float(np.sum((found[n] - v) ** 2)) for n, v in self.wanted.items())
        return decibels(signal, noise)
