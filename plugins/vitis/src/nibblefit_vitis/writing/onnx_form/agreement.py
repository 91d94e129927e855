"""Does a QDQ file compute the DPU's integers? Every difference counted and explained.

Layer by layer the exact result is computed from the codes that onnxruntime itself has there, so
one difference does not hide the next. Float64 holds the exact results: products and sums of codes
are dyadic and far below 2**53.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.fixed.operators import pooling
from nibblefit.fixed.operators.activation import clip
from nibblefit.fixed.rounding import round_real
from nibblefit.ir.attributes import window_of
from nibblefit.ir.execute import parameters_of
from nibblefit.ir.float_reference import FORMULAS
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.quantization.qdq.agreement import Agreement, TensorAgreement
from nibblefit.quantization.qdq.running import run_onnx
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.numerics import ROUNDINGS
from nibblefit_vitis.preparation.constants import (
    HARD_SIGMOID_FACTOR,
    HARD_SWISH_GATE_POSITION,
    pool_reciprocal,
)
from nibblefit_vitis.quantize.formats import parameter_codes
from nibblefit_vitis.settings import Kind, NetworkSetting, RoundMode
from nibblefit_vitis.simulation.effective import effective, has_device_constants
from nibblefit_vitis.writing.onnx_form.naming import codes_name, own_codes_name, own_value_name
from nibblefit_vitis.writing.onnx_form.steps import Step, step_of

Values = npt.NDArray[np.float64]
#: Float32 arithmetic may move a result by this share of it; beyond it nothing is explained.
_FLOAT32 = 2.0**-20


@dataclass(frozen=True, slots=True)
class Tally(TensorAgreement):
    """Differences of one tensor, each counted on the codes that the file itself has before it.

    Attributes:
        ties: Exactly between two codes: even in the file, up on the DPU.
        near: So near a tie that float32 arithmetic decides.
    """

    ties: int = 0
    near: int = 0


def compare_qdq(
    graph: Graph, formats: NetworkFormats, setting: NetworkSetting, model: onnx.ModelProto,
    inputs: Mapping[str, npt.NDArray[np.float32]],
) -> Agreement[Tally]:  # fmt: skip
    """Run a file that `to_qdq` wrote, and compare every tensor of codes with the DPU's."""
    rounded_names = [name for name, form in formats.outputs.items() if form is not None]
    places = {name: codes_name(name) for name in rounded_names}
    places |= {own_value_name(layer): own_codes_name(layer)
               for layer, form in formats.inputs.items() if form is not None}  # fmt: skip
    found = run_onnx(model, inputs, list(places.values()), one_by_one=True)
    given = {name: found[made].astype(np.int64) for name, made in places.items()}
    tallies = Walk(graph, formats, setting, given).through(inputs)
    outputs = {name: given[name] for name in graph.outputs if name in given}
    return Agreement(frozen_mapping({one.tensor: one for one in tallies}), frozen_mapping(outputs))


class Walk:
    """Goes through a network on given codes and tallies what the DPU would make of them."""

    def __init__(self, graph: Graph, formats: NetworkFormats, setting: NetworkSetting,
                 given: Mapping[str, npt.NDArray[Any]] | None = None) -> None:  # fmt: skip
        self.graph, self.formats, self.setting = graph, formats, setting
        self.given = given or {}
        self.codes: dict[str, npt.NDArray[np.int64]] = {}
        self._values: dict[str, Values] = {}
        self._tallies: list[Tally] = []

    def through(self, inputs: Mapping[str, npt.NDArray[np.float32]]) -> list[Tally]:
        """Return the tallies of all rounded tensors; `codes` then holds the DPU's codes."""
        for name in self.graph.inputs:
            self._settle(name, np.asarray(inputs[name], np.float64))
        for node in self.graph.nodes:
            made = self._formula(node, [self._operand(node, i) for i in range(len(node.inputs))])
            for name, value in zip(node.outputs, made, strict=True):
                self._settle(name, value, node.name)
        return self._tallies

    def _settle(self, name: str, value: Values, layer: str = "") -> None:
        """Round a tensor, tally it, and go on with the given codes where there are some."""
        form = self.formats.outputs.get(name)
        if form is None:
            self._values[name] = value
            return
        kind = Kind.INPUT if name in self.graph.inputs else Kind.ACTIVATION
        own = effective(self.setting, layer, kind)
        step = step_of(form, narrow=own.narrow_range)
        exact = step.scaled(value) + step.zeros[0]
        codes = _coded(exact, step, own.round_mode)
        self.codes[name] = codes
        if name in self.given:
            theirs = self.given[name].astype(np.int64)
            self._tallies.append(_tally(name, exact, codes, theirs))
            codes = theirs
        self._values[name] = step.values(codes, value.ndim)

    def _operand(self, node: Node, index: int) -> Values:
        name = node.inputs[index]
        if name not in self.graph.constants:
            value = self._values[name]
            own = self.formats.inputs.get(node.name) if index == 0 else None
            if own is None:
                return value
            return self._own_input(node.name, value, step_of(own))
        array = np.asarray(self.graph.constants[name], np.float64)
        form = self.formats.params.get(name)
        if form is not None:
            kind = Kind.BIAS if index == 2 else Kind.WEIGHTS
            own_setting = effective(self.setting, node.name, kind)
            codes = parameter_codes(array, form, own_setting, name)
            array = step_of(form).values(codes, array.ndim)
        return array if index in parameters_of(node.op) else array[None]

    def _own_input(self, layer: str, value: Values, step: Step) -> Values:
        """Round what a layer reads in a format of its own, and tally it like a tensor."""
        exact, name = step.scaled(value) + step.zeros[0], own_value_name(layer)
        codes = _coded(exact, step, RoundMode.HALF_UP)
        if name in self.given:
            theirs = self.given[name].astype(np.int64)
            self._tallies.append(_tally(name, exact, codes, theirs))
            codes = theirs
        return step.values(codes, value.ndim)

    def _formula(self, node: Node, operands: list[Values]) -> list[Values]:
        if not has_device_constants(self.setting):
            return [np.asarray(made) for made in FORMULAS[node.op](node.attributes, operands)]
        if node.op in (Op.AVG_POOL, Op.GLOBAL_AVG_POOL):
            return [self._mean(node, operands[0])]
        if node.op in (Op.HARD_SIGMOID, Op.HARD_SWISH):
            gate = clip(operands[0] + 3.0, 0, 6) * HARD_SIGMOID_FACTOR
            if node.op is Op.HARD_SIGMOID:
                return [gate]
            if self.formats.outputs.get(node.output) is not None:
                step = step_of(FixPosition(HARD_SWISH_GATE_POSITION + 1, HARD_SWISH_GATE_POSITION))
                codes = _coded(step.scaled(gate), step, RoundMode.HALF_UP)
                gate = step.values(codes, gate.ndim)
            return [operands[0] * gate]
        return [np.asarray(made) for made in FORMULAS[node.op](node.attributes, operands)]

    def _mean(self, node: Node, value: Values) -> Values:
        """Return the DPU's average: the exact sum times its reciprocal."""
        factor = pool_reciprocal(self.graph, node)
        if node.op is Op.GLOBAL_AVG_POOL:
            axes = tuple(range(2, value.ndim))
            return np.asarray(value.sum(axis=axes, keepdims=True) * factor.value)
        window = window_of(node.attributes, tuple(node.attributes["kernel"]))
        if not any(window.pads) and not window.ceil_mode:
            return np.asarray(pooling.sum_pool(value, window) * factor.value)
        return np.asarray(FORMULAS[node.op](node.attributes, [value])[0] * factor.correction)


def _coded(exact: Values, step: Step, rounding: RoundMode) -> npt.NDArray[np.int64]:
    limited = np.clip(exact, -(2.0**40), 2.0**40)
    return np.clip(round_real(limited, ROUNDINGS[rounding]), step.low, step.high).astype(np.int64)


def _tally(name: str, exact: Values, ours: npt.NDArray[np.int64],
           theirs: npt.NDArray[np.int64]) -> Tally:  # fmt: skip
    different = ours != theirs
    if not different.any():
        return Tally(name, ours.size)
    values = exact[different]
    distance = np.abs(values - np.floor(values) - 0.5)
    ties = int((distance == 0).sum())
    neighbours = np.abs(ours[different] - theirs[different]) == 1
    near = int((neighbours & (distance > 0)
                & (distance <= _FLOAT32 * np.maximum(1.0, np.abs(values)))).sum())  # fmt: skip
    total = int(different.sum())
    return Tally(
        name, ours.size, total, unexplained=total - ties - near, farthest=float(distance.max()),
        ties=ties, near=near,
    )  # fmt: skip
