"""The trainable network of the quantization-aware phase: hardware layers over a float graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.execute import EXECUTE
from nibblefit.nn.network import Network
from nibblefit_maxim.fusing.network import FusedNetwork, NetworkOutput
from nibblefit_maxim.hosting import run_host
from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.qat.gathering import gather
from nibblefit_maxim.qat.layer import (
    LayerArithmetic,
    operate,
    operate_float,
    pass_on,
    rectify,
    wide_unit,
)
from nibblefit_maxim.qat.rounding import quantize_input
from nibblefit_maxim.qat.thresholds import adds, sum_of
from nibblefit_maxim.settings import LayerSettings


class QatNetwork(Network):
    """Executes a folded float graph as the accelerator would, with straight-through gradients.

    Parameters, their names and `to_graph` are those of the graph's own `Network`; only the forward
    pass differs.

    Args:
        graph: Float graph without batch norm.
        fused: Its hardware layers.
        settings: Weight width and quantile by layer name.
        thresholds: T by tensor name; tensors that are left out have T = 0.
        quantized: False executes the same layers in plain float, to measure thresholds.
    """

    def __init__(
        self,
        graph: Graph,
        fused: FusedNetwork,
        settings: Mapping[str, LayerSettings],
        thresholds: Mapping[str, int],
        *,
        quantized: bool = True,
    ) -> None:
        super().__init__(graph)
        # Plain dictionaries: training processes receive the network by value.
        host = tuple(replace(node, attributes=dict(node.attributes)) for node in fused.host)
        self.fused = replace(fused, host=host)
        self.settings = dict(settings)
        self.quantized = quantized
        self._layers = {layer.tensor: layer for layer in fused.layers}
        self.thresholds: dict[str, int] = {}
        self.set_thresholds(thresholds)

    def set_thresholds(self, thresholds: Mapping[str, int]) -> None:
        """Replace all activation thresholds, by tensor name."""
        self.thresholds = dict(thresholds)
        self._arithmetic = {
            layer.name: LayerArithmetic(
                layer,
                self.settings.get(layer.name, LayerSettings()),
                self.thresholds.get(layer.inputs[0], 0),
                self.thresholds.get(layer.tensor, 0),
            )
            for layer in self.fused.layers
        }

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a batch as real values, the host's part computed in float."""
        (x,) = self._checked(inputs)
        tensors = self.run_layers(x)
        found: dict[str, Tensor] = {}
        for output in self.fused.outputs:
            value = tensors[output.tensor].to(x.dtype)
            if self.quantized:
                value = value * self._unit(output.tensor)
            found[output.name] = handed_over(output, value)
        for node in self.fused.host:
            result = EXECUTE[node.op](node.attributes, [found[node.input]])
            found[node.name] = result if isinstance(result, Tensor) else result[0]
        names = self.fused.results or [output.name for output in self.fused.outputs]
        return tuple(found[name] for name in names)

    def run_layers(self, x: Tensor) -> dict[str, Tensor]:
        """Return the tensor of every layer by name, the input included.

        Quantized data is codes; wide tensors are in units of the threshold of the layer's input,
        float64 where float32 would not hold them. In training mode all is float32. A network that
        does not quantize also returns the sums inside layers, see `thresholds.sum_of`.
        """
        tensors = {self.fused.input: quantize_input(x) if self.quantized else x}
        for layer in self.fused.layers:
            read = [_viewed(layer, tensors[name]) for name in layer.inputs]
            x = gather(layer, read, quantized=self.quantized)
            if not self.quantized and adds(layer):
                tensors[sum_of(layer)] = x
            tensors[layer.tensor] = self._operate(layer, x)
        return tensors

    def wide_unit(self, layer: HardwareLayer) -> Tensor:
        """Return the value of one unit of a wide layer's accumulator."""
        return wide_unit(self._arithmetic[layer.name], *self._parameters_of(layer))

    def _operate(self, layer: HardwareLayer, x: Tensor) -> Tensor:
        if layer.identity:
            return rectify(pass_on(layer, x), layer.activation, quantized=self.quantized)
        if not layer.has_weights:
            return x
        weights, bias = self._parameters_of(layer)
        if not self.quantized:
            return operate_float(layer, x, weights, bias)
        return operate(self._arithmetic[layer.name], x, weights, bias, fast=self.training)

    def _parameters_of(self, layer: HardwareLayer) -> tuple[Tensor, Tensor | None]:
        bias = self.constant(layer.bias) if layer.bias else None
        return self.constant(layer.weight), bias

    def _unit(self, tensor: str) -> float:
        """Return the real value of 1 in a tensor of `run_layers`."""
        layer = self._layers.get(tensor)
        if layer is not None and layer.wide:
            return 2.0 ** self.thresholds.get(layer.inputs[0], 0)
        return 2.0 ** (self.thresholds.get(tensor, 0) - 7)


def handed_over(output: NetworkOutput, value: Tensor) -> Tensor:
    """Return a layer's tensor as the host sees it: cropped and reshaped."""
    batch = value.shape[0]
    if output.cropped_shape:
        value = value.reshape(batch, *output.held_shape)
        crop = (slice(None), slice(None), *(slice(0, n) for n in output.cropped_shape[1:]))
        value = value[crop]
    return value.reshape(batch, *output.shape)


def _viewed(layer: HardwareLayer, x: Tensor) -> Tensor:
    """Return a tensor with the rows and columns in which the layer reads it."""
    if x.shape[2:] == layer.input_shape[1:]:
        return x
    return x.reshape(x.shape[0], x.shape[1], *layer.input_shape[1:])


class Simulation(torch.nn.Module):
    """Training's own execution of an integer graph: codes of every layer, from float arithmetic.

    Args:
        network: The training network.
        graph: The integer graph; its host nodes are executed as integers behind the layers.
    """

    def __init__(self, network: QatNetwork, graph: QuantizedGraph | None = None) -> None:
        super().__init__()
        self.network = network.eval()
        self._graph = graph

    def forward(self, codes: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return int64 codes by tensor name for int64 input codes (batch, channels, *spatial)."""
        fused = self.network.fused
        x = codes[fused.input] if isinstance(codes, Mapping) else codes
        with torch.no_grad():
            tensors = self.network.run_layers(x.to(torch.float32) / 128.0)
        wide = {layer.tensor: layer for layer in fused.layers if layer.wide}
        found = {}
        for name, value in tensors.items():
            unit = self.network.wide_unit(wide[name]) if name in wide else 1.0
            found[name] = (value.double() / unit).round().to(torch.int64)
        for output in fused.outputs:
            found.setdefault(output.name, handed_over(output, found[output.tensor]))
        if self._graph is not None and fused.host:
            known = {name: value.cpu().numpy() for name, value in found.items()}
            run_host(self._graph, known)
            found.update({name: torch.from_numpy(value) for name, value in known.items()
                          if name not in found})  # fmt: skip
        return found
