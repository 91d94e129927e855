"""TI's procedure for lost accuracy: float emulation, 8 bits, 16 bits, a mixture, one after another.

``tensor_bits`` 32 must equal the float network; if 8 lose too much, 16 are tried, and if these are
well, some layers keep them. Source: edgeai-tidl-tools, troubleshooting guide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nibblefit.defaults.evaluation.accuracy import measure
from nibblefit.defaults.evaluation.inputs import input_codes, sample_count
from nibblefit.defaults.quantize import calibration_batches, calibration_count
from nibblefit.engine import Engine
from nibblefit.errors import RecipeError, UnsupportedError
from nibblefit.fixed.formats import FloatArray
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.network import Network
from nibblefit.quantization.calibrate import run_batches
from nibblefit.training.evaluation import evaluate_float
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.qat.ranges import ranges_of
from nibblefit_tidl.current.quantize import quantize_network
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.front.pixels import pixel_ranges
from nibblefit_tidl.stages import drop_budget
from nibblefit_tidl.triage.differences import Frames, decibels, scored_tensors
from nibblefit_tidl.triage.opening import Subject
from nibblefit_tidl.triage.ranking import Ranking

#: Largest difference of float emulation to the float network, over the outputs' largest value,
#: that rounding in float32 explains.
FLOAT_NOISE = 1e-4
FLOAT, EMULATION, NARROW, WIDE, MIXED = "float network", "32", "8", "16", "mixed"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the procedure.

    Attributes:
        name: ``float network``, ``32``, ``8``, ``16`` or ``mixed``.
        metric: The task's metric on the test split; None if the setting was not tried.
        decibels: Signal to noise of the outputs; None likewise.
        drop: What the metric lost against the float network; negative for a gain.
        note: What the setting means here, or why it was not tried.
    """

    name: str
    metric: float | None = None
    decibels: float | None = None
    drop: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Procedure:
    """The settings in TI's order, and what follows from them.

    Attributes:
        metric: Name of the metric.
        budget: Drop that is allowed.
        settings: The rows.
        verdict: What to do, in one sentence.
        skipped: Why nothing was tried; empty if it was.
    """

    metric: str = ""
    budget: float = 0.0
    settings: tuple[Setting, ...] = ()
    verdict: str = ""
    skipped: str = ""


def follow_procedure(subject: Subject, ranking: Ranking, frames: Frames) -> Procedure:
    """Return what each setting gives on the network of a run.

    Args:
        subject: The run.
        ranking: Says which layers the mixture gives 16 bits.
        frames: Inputs on which outputs are compared.
    """
    if subject.classic:
        return Procedure(skipped="tidl-classic has no tensor_bits; its widths are parameter_bits "
                         "(4 to 12) for weights and 8 bits for data")  # fmt: skip
    return _Trial(subject, frames).follow(ranking)


def verdict_of(settings: Sequence[Setting], budget: float) -> str:
    """Return what to do, from the drops of the settings in TI's order."""
    rows = {setting.name: setting for setting in settings}

    def good(name: str) -> bool:
        drop = rows[name].drop if name in rows else None
        return drop is not None and drop <= budget

    if not good(EMULATION):
        return "float emulation differs from the float network: the conversion is wrong, not widths"
    if good(NARROW):
        return "8 bits keep the accuracy; nothing needs 16"
    if good(MIXED):
        return "8 bits lose too much; 16 bits for the layers named are enough"
    if good(WIDE):
        return "8 bits lose too much, 16 bits do not: give more layers 16 bits, or train with qat"
    return (
        "even 16 bits lose too much: look at calibration data, preprocessing, and depthwise "
        "convolutions without batch norm, not at widths"
    )


class _Trial:
    def __init__(self, subject: Subject, frames: Frames) -> None:
        self.subject, self.run, self.frames = subject, subject.run, frames
        self.scored = scored_tensors(subject.folded)
        self.base = self._metric(subject.model.graph)
        self.wanted = self._real(subject.model.graph)
        self._batches: list[Frames] = []

    def follow(self, ranking: Ranking) -> Procedure:
        settings = [
            Setting(FLOAT, self.base, drop=0.0), self._emulation(), self._integers(NARROW),
            self._integers(WIDE), self._mixture(ranking),
        ]  # fmt: skip
        budget = drop_budget(self.run.recipe)
        return Procedure(
            self.run.task.metric, budget, tuple(settings), verdict_of(settings, budget)
        )

    def _emulation(self) -> Setting:
        metric, found = self._metric(self.subject.folded), self._real(self.subject.folded)
        largest = max(float(np.abs(found[n] - v).max()) for n, v in self.wanted.items())
        scale = max(float(np.abs(v).max()) for v in self.wanted.values()) or 1.0
        equal = largest <= FLOAT_NOISE * scale
        note = f"largest difference {largest:.3g}"
        if not equal:
            note += ": merging layers changed the network"
        drop = self._drop(metric) if equal else math.inf
        return Setting(EMULATION, metric, self._decibels(found), drop, note)

    def _integers(self, name: str, names: tuple[str, ...] = ()) -> Setting:
        try:
            graph, note = self._graph(name, names)
        except (RecipeError, UnsupportedError) as error:
            return Setting(name, note=error.what)
        engine = Engine(graph)
        report = measure(self.run, graph, engine, f"tensor_bits {name}")
        done = engine.run(input_codes(graph, self.frames), keep=self.scored).tensors
        found = {n: dequantize(done[n], graph.tensors[n].format) for n in self.scored}
        metric = report.metrics[self.run.task.metric]
        return Setting(name, metric, self._decibels(found), self._drop(metric), note)

    def _mixture(self, ranking: Ranking) -> Setting:
        own = self.run.options.output_feature_16bit_names
        chosen = ranking.suggested.names if ranking.suggested else ()
        names = tuple(dict.fromkeys((*own, *chosen)))
        if not names:
            return Setting(MIXED, note=ranking.verdict)
        return self._integers(MIXED, names)

    def _graph(self, name: str, names: tuple[str, ...]) -> tuple[QuantizedGraph, str]:
        """Return the integer graph of a setting, the run's own where that is it."""
        own = self.run.options
        changes: dict[str, Any] = {
            "tensor_bits": 16 if name == WIDE else 8, "output_feature_16bit_names": names,
            "params_16bit_names": own.params_16bit_names if names else (),
            "mixed_precision_factor": None,
            "high_resolution_optimization": own.high_resolution_optimization and not names,
        }  # fmt: skip
        note = f"16 bits for {', '.join(names)}" if names else ""
        if all(getattr(own, key) == value for key, value in changes.items()):
            return self.subject.graph, f"{note}; this run" if note else "this run"
        options: TidlOptions = own.model_copy(update=changes)
        made = quantize_network(
            self.subject.model.graph, mode_of(device_named(self.run.part), options), options,
            self._calibration(), given=self._given(), say=self.run.reporter.say,
        )  # fmt: skip
        return made.graph, note

    def _given(self) -> dict[str, tuple[float, float]]:
        model = self.subject.model
        return {**ranges_of(model), **pixel_ranges(self.run.data, model.graph)}

    def _calibration(self) -> list[Frames]:
        if not self._batches:
            count = calibration_count(self.run)
            self._batches = list(calibration_batches(self.run, self.subject.model, count))
        return self._batches

    def _metric(self, graph: Graph) -> float:
        settings = self.run.recipe.evaluate
        report = evaluate_float(
            Network(graph).eval(), self.run.task, self.run.data, batch_size=settings.batch_size,
            limit=sample_count(self.run, settings.samples),
        )  # fmt: skip
        return report.metrics[self.run.task.metric]

    def _drop(self, metric: float) -> float:
        return self.base - metric if self.run.task.maximize else metric - self.base

    def _real(self, graph: Graph) -> dict[str, FloatArray]:
        (values,) = run_batches(graph, [self.frames])
        return {name: values[name].double().numpy() for name in self.scored}

    def _decibels(self, found: dict[str, FloatArray]) -> float:
        signal = sum(float(np.sum(values**2)) for values in self.wanted.values())
        noise = sum(float(np.sum((found[n] - v) ** 2)) for n, v in self.wanted.items())
        return decibels(signal, noise)
