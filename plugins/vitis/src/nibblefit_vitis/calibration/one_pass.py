"""Calibration in one pass of the float network, independent of how samples are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.quantization.histogram import Histogram
from nibblefit_vitis.calibration.extra_inputs import layers_with_input_format
from nibblefit_vitis.calibration.matched_bias import matched_biases
from nibblefit_vitis.calibration.mean_bias import MeanInputs
from nibblefit_vitis.calibration.parameters import parameter_formats
from nibblefit_vitis.calibration.pooled import pooled_format, sampled
from nibblefit_vitis.calibration.result import Calibrated
from nibblefit_vitis.calibration.samples import Kept
from nibblefit_vitis.calibration.workers import side_by_side, workers
from nibblefit_vitis.formats import NetworkFormats, TensorFormat
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective, has_device_constants
from nibblefit_vitis.simulation.execution import Execution, channels_last

Array = npt.NDArray[np.float32]


class OnePass:
    """Observes every rounded tensor of the float network.

    Args:
        graph: A prepared float graph.
        setting: What is asked for every tensor.
    """

    def __init__(self, graph: Graph, setting: NetworkSetting) -> None:
        self._graph, self._setting = graph, setting
        self._execution = Execution(graph, hardware=has_device_constants(setting))
        self._heads = {group.end: group.head.name for group in self._execution.groups}
        rounded = [group.end for group in self._execution.groups if group.quantized]
        self._found = {name: Histogram() for name in (*graph.inputs, *rounded)}
        self._inputs = {
            layer: Histogram() for layer in sorted(layers_with_input_format(graph, setting))
        }
        self._means = MeanInputs(graph) if setting.include_bias_corr else None
        self._kept = Kept()
        self._lock = Lock()
        self._constants = {
            name: channels_last(torch.from_numpy(np.array(values)).float())
            for name, values in graph.constants.items()
        }

    def add(self, chunks: Sequence[Array]) -> None:
        """Learn from chunks of samples, side by side."""
        with workers() as number:
            found = side_by_side(self._sums, chunks, number)
        # In the order of samples, so that sums do not depend on which chunk was done first.
        for chunk, sums in zip(chunks, found, strict=True):
            if self._means is not None and self._kept.add(chunk):
                self._means.add_sums(sums, len(chunk))

    def _sums(self, chunk: Array) -> dict[str, Tensor]:
        """Count the values of a chunk; return the sums over its samples of what layers read."""
        sums: dict[str, Tensor] = {}

        def watch(node: Node, inputs: Sequence[Tensor], output: Tensor) -> None:  # noqa: ARG001
            if node.name in self._inputs:
                self._count(node.inputs[0], self._inputs[node.name], inputs[0])
            if self._means is not None and self._means.is_first_reader(node):
                sums[node.inputs[0]] = inputs[0].sum(0).double()

        x = channels_last(torch.from_numpy(np.ascontiguousarray(chunk)))
        self._execution.run([x], self._constants, self._observe, watch=watch)
        return sums

    def _observe(self, name: str, values: Tensor) -> Tensor:
        self._count(name, self._found[name], values)
        return values

    def _count(self, name: str, histogram: Histogram, values: Tensor) -> None:
        counted = sampled(name, values)
        with self._lock:
            counted.into(histogram)

    def result(self) -> Calibrated:
        """Return the formats of everything seen; to be called once, at the end."""
        # The correction makes rounded copies of all weights; both at once would be the peak.
        self._constants.clear()
        params = parameter_formats(self._graph, self._setting)
        outputs: dict[str, TensorFormat | None] = {
            group.end: None for group in self._execution.groups if not group.quantized
        }
        for name, histogram in self._found.items():
            kind = Kind.INPUT if name in self._graph.inputs else Kind.ACTIVATION
            own = effective(self._setting, self._heads.get(name, name), kind)
            outputs[name] = pooled_format(name, histogram, own)
        inputs = {
            layer: pooled_format(layer, found, effective(self._setting, layer, Kind.INPUT))
            for layer, found in self._inputs.items()
        }
        formats = NetworkFormats(
            frozen_mapping(params), frozen_mapping(outputs), frozen_mapping(inputs)
        )
        if self._means is None:
            return Calibrated(formats)
        matched = matched_biases(self._graph, formats, self._setting, self._kept.samples,
                                 self._means)  # fmt: skip
        params.update(matched.formats)
        formats = replace(formats, params=frozen_mapping(params))
        return Calibrated(formats, frozen_mapping(matched.corrections))
