"""Calibration as the original does it: batch after batch, on tensors that are rounded already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED
from nibblefit.quantization.histogram import Histogram
from nibblefit_vitis.calibration.estimate import estimate
from nibblefit_vitis.calibration.extra_inputs import layers_with_input_format
from nibblefit_vitis.calibration.iterative_bias import IterativeBias, is_corrected, started
from nibblefit_vitis.calibration.parameters import parameter_formats
from nibblefit_vitis.calibration.pooled import pooled_format, sampled
from nibblefit_vitis.calibration.result import Calibrated
from nibblefit_vitis.calibration.statistics import combined
from nibblefit_vitis.formats import FixPosition, NetworkFormats, TensorFormat
from nibblefit_vitis.grouping import parameters
from nibblefit_vitis.settings import Kind, NetworkSetting, ScaleType, Statistic, TensorSetting
from nibblefit_vitis.simulation.effective import HARDWARE, effective, has_device_constants
from nibblefit_vitis.simulation.execution import Execution
from nibblefit_vitis.simulation.quantizer import quantizer


class PerBatch:
    """Calibrates a network batch by batch.

    Every batch yields one format per tensor; the statistic of all formats so far rounds the tensor
    before the next layer reads it. Source: pytorch_nndct 3.5, ``calibration_local``.
    """

    def __init__(self, graph: Graph, setting: NetworkSetting) -> None:
        self._graph, self._setting = graph, setting
        self._execution = Execution(graph, hardware=has_device_constants(setting))
        self._params = parameter_formats(graph, setting)
        self._floats = {
            name: torch.from_numpy(np.array(values)).float()
            for name, values in graph.constants.items()
        }
        self._constants: dict[str, Tensor] = {}
        self._owners = {parameter.name: parameter for parameter in parameters(graph)}
        self._heads = {group.end: group.head.name for group in self._execution.groups}
        self._found: dict[str, list[TensorFormat]] = {}
        self._extra = layers_with_input_format(graph, setting)
        self._inputs: dict[str, list[TensorFormat]] = {}
        self._biases: dict[str, IterativeBias] = {}
        self._pooled: dict[tuple[int, str], Histogram] = {}
        self._notes: list[str] = []
        if setting.include_bias_corr and setting.parity:
            self._biases = {
                node.inputs[2]: started(node, self._floats, self._rounded(node.inputs[2]))
                for node in graph.nodes
                if node.op in WEIGHTED and is_corrected(node, self._floats)
            }

    def add(self, batches: Sequence[npt.NDArray[np.float32]]) -> None:
        """Learn from batches, one after the other."""
        for batch in batches:
            self._add(batch)

    def _add(self, batch: npt.NDArray[np.float32]) -> None:
        self._constants = {name: self._rounded(name) for name in self._floats}
        with torch.no_grad():
            self._execution.run(
                [torch.from_numpy(np.ascontiguousarray(batch, np.float32))],
                self._constants, self._round,
                watch=self._watch if self._biases else None,
                read=self._read,
            )  # fmt: skip

    def _rounded(self, name: str) -> Tensor:
        if name in self._biases:
            return self._biases[name].bias
        values = self._floats[name]
        fmt, owner = self._params.get(name), self._owners[name]
        if fmt is None:
            return values
        return quantizer(fmt, effective(self._setting, owner.node.name, owner.kind)).real(values)

    def _round(self, name: str, values: Tensor) -> Tensor:
        is_input = name in self._graph.inputs
        layer, kind = (name, Kind.INPUT) if is_input else (self._heads[name], Kind.ACTIVATION)
        own = effective(self._setting, layer, kind)
        # Network inputs are never searched. Source: pytorch_nndct 3.5, quant stubs.
        scope = 1 if is_input and self._setting.parity else None
        return self._learn(self._found, name, values, own, scope=scope)

    def _read(self, node: Node, values: Tensor) -> Tensor:
        if node.name not in self._extra:
            return values
        own = effective(self._setting, node.name, Kind.INPUT)
        return self._learn(self._inputs, node.name, values, own, scope=None)

    def _learn(
        self, into: dict[str, list[TensorFormat]], name: str, values: Tensor, own: TensorSetting,
        *, scope: int | None,
    ) -> Tensor:  # fmt: skip
        history = into.setdefault(name, [])
        is_power = own.scale_type is ScaleType.POWER_OF_TWO
        if own.calib_statistic_method is Statistic.POOLED:
            histogram = self._pooled.setdefault((id(into), name), Histogram())
            sampled(name, values).into(histogram)
            history[:] = [pooled_format(name, histogram, own, parity=self._setting.parity)]
            return quantizer(history[0], own).real(values)
        if self._setting.parity and not bool(torch.isfinite(values).all()):
            self._notes.append(
                f"tensor '{name}': a batch with values that are infinite or not a number was "
                "skipped"
            )
            return values
        history.append(
            estimate(name, values, own, parity=self._setting.parity,
                     scope=scope if is_power else None)
        )  # fmt: skip
        return quantizer(self._statistic(history, own), own).real(values)

    def _watch(self, node: Node, inputs: Sequence[Tensor], output: Tensor) -> None:
        if len(node.inputs) > 2 and node.inputs[2] in self._biases:
            self._biases[node.inputs[2]].update(node, inputs, output)

    def _combined(
        self, name: str, found: Sequence[TensorFormat], kind: Kind
    ) -> TensorFormat | None:
        layer = self._heads.get(name, name)
        own = effective(self._setting, layer, kind)
        return self._statistic(found, own) if found else None

    def _statistic(self, found: Sequence[TensorFormat], own: TensorSetting) -> TensorFormat:
        by_scale = self._setting.parity and self._setting.device not in HARDWARE
        return combined(found, own.calib_statistic_method, by_scale=by_scale)

    def result(self) -> Calibrated:
        """Return what all batches together gave."""
        corrections = {
            name: (bias.original - bias.bias).double().numpy()
            for name, bias in self._biases.items()
        }
        outputs: dict[str, TensorFormat | None] = {
            group.end: None for group in self._execution.groups if not group.quantized
        }
        for name, found in self._found.items():
            kind = Kind.INPUT if name in self._graph.inputs else Kind.ACTIVATION
            outputs[name] = self._combined(name, found, kind)
        formats = NetworkFormats(
            frozen_mapping(self._params), frozen_mapping(outputs),
            frozen_mapping({n: self._combined(n, f, Kind.INPUT) for n, f in self._inputs.items()}),
            frozen_mapping({
                name: tuple(one.position for one in found if isinstance(one, FixPosition))
                for name, found in self._found.items()
            }),
        )  # fmt: skip
        notes = tuple(dict.fromkeys(self._notes))
        return Calibrated(formats, frozen_mapping(corrections), notes)
