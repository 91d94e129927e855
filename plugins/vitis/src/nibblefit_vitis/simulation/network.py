"""A float graph with every tensor rounded to its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nibblefit.ir.graph import Graph, Node
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.grouping import parameters
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective, has_device_constants
from nibblefit_vitis.simulation.execution import Execution, Watcher
from nibblefit_vitis.simulation.quantizer import Quantizer, quantizer

Array = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Simulation:
    """Executes a graph with rounded parameters and activations.

    Args:
        graph: A prepared float graph.
        formats: Of its parameters and tensors; a tensor without entry stays as it is.
        setting: Gives roundings, and the device whose constants hold.
        corrections: Subtracted from biases before they are rounded, by name.
        dtype: Type of all arithmetic.
    """

    def __init__(
        self,
        graph: Graph,
        formats: NetworkFormats,
        setting: NetworkSetting,
        corrections: Mapping[str, npt.NDArray[np.float64]],
        dtype: torch.dtype,
    ) -> None:
        self._execution = Execution(graph, hardware=has_device_constants(setting))
        self._dtype = dtype
        self._constants = rounded_constants(graph, formats, setting, corrections, dtype)
        self._quantizers = activation_quantizers(self._execution, formats, setting)
        self._readers = reading_quantizers(formats, setting)

    def __call__(self, *inputs: Array | Tensor) -> tuple[Tensor, ...]:
        """Return the rounded outputs of a batch of real inputs, in the graph's order."""
        found = self._run(inputs, keep_all=False)
        return tuple(found[name] for name in self._execution.graph.outputs)

    def tensors(self, *inputs: Array | Tensor) -> Mapping[str, Tensor]:
        """Return every tensor of the graph by name."""
        return self._run(inputs, keep_all=True)

    def watched(self, watch: Watcher, *inputs: Array | Tensor) -> tuple[Tensor, ...]:
        """Return the outputs like a call, while `watch` sees every operator."""
        found = self._run(inputs, keep_all=False, watch=watch)
        return tuple(found[name] for name in self._execution.graph.outputs)

    def _run(
        self, inputs: Sequence[Array | Tensor], *, keep_all: bool, watch: Watcher | None = None
    ) -> dict[str, Tensor]:
        given = [torch.as_tensor(x).to(self._dtype) for x in inputs]
        read = self._read if self._readers else None
        with torch.no_grad():
            return self._execution.run(
                given, self._constants, self._round, keep_all=keep_all, read=read, watch=watch
            )

    def _round(self, name: str, values: Tensor) -> Tensor:
        found = self._quantizers.get(name)
        return values if found is None else found.real(values, in_place=True)

    def _read(self, node: Node, values: Tensor) -> Tensor:
        found = self._readers.get(node.name)
        return values if found is None else found.real(values)


def fake_quantized(
    graph: Graph,
    formats: NetworkFormats,
    setting: NetworkSetting,
    *,
    corrections: Mapping[str, npt.NDArray[np.float64]] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Simulation:
    """Return the graph as the device computes it, in floating point.

    Args:
        graph: A prepared float graph.
        formats: Of its parameters and tensors.
        setting: Gives roundings, and the device whose constants hold.
        corrections: Subtracted from biases before they are rounded, by name.
        dtype: Type of all arithmetic; float64 is exact up to sums of 2**53 steps.
    """
    return Simulation(graph, formats, setting, corrections or {}, dtype)


def rounded_constants(
    graph: Graph,
    formats: NetworkFormats,
    setting: NetworkSetting,
    corrections: Mapping[str, npt.NDArray[np.float64]],
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return all constants of a graph as tensors, rounded where they have a format."""
    found = {}
    for parameter in parameters(graph):
        name = parameter.name
        values = np.asarray(graph.constants[name])
        if name in corrections:
            values = (values.astype(np.float64) - corrections[name]).astype(values.dtype)
        tensor = torch.from_numpy(np.array(values)).to(dtype)
        fmt = formats.params.get(name)
        if fmt is not None:
            own = effective(setting, parameter.node.name, parameter.kind)
            tensor = quantizer(fmt, own).real(tensor)
        found[name] = tensor
    return found


def activation_quantizers(
    execution: Execution, formats: NetworkFormats, setting: NetworkSetting
) -> dict[str, Quantizer]:
    """Return what rounds graph inputs and ends of groups, by name."""
    layers = {group.end: (group.head.name, Kind.ACTIVATION) for group in execution.groups}
    layers.update({name: (name, Kind.INPUT) for name in execution.graph.inputs})
    return {
        name: quantizer(fmt, effective(setting, *layers[name]))
        for name, fmt in formats.outputs.items()
        if fmt is not None and name in layers
    }


def reading_quantizers(formats: NetworkFormats, setting: NetworkSetting) -> dict[str, Quantizer]:
    """Return what rounds inputs of layers that read them in a width of their own, by layer."""
    return {
        layer: quantizer(fmt, effective(setting, layer, Kind.INPUT))
        for layer, fmt in formats.inputs.items()
        if fmt is not None
    }
