"""The trainable network of the quantization-aware phase: hardware layers over a float graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nibblefit.ir.graph import Graph
from nibblefit.nn.network import Network
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.layers import HardwareLayer
from nibblefit_maxim.qat.layer import LayerArithmetic, gather, operate, rectify
from nibblefit_maxim.qat.rounding import quantize_input
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
        self.fused = fused
        self.thresholds = dict(thresholds)
        self.quantized = quantized
        self._arithmetic = {
            layer.name: LayerArithmetic(
                layer,
                settings.get(layer.name, LayerSettings()),
                self.thresholds.get(layer.inputs[0], 0),
                self.thresholds.get(layer.tensor, 0),
            )
            for layer in fused.layers
        }

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a batch as real values."""
        (x,) = self._checked(inputs)
        tensors = self.run_layers(x)
        layers = {layer.tensor: layer for layer in self.fused.layers}
        outputs = []
        for output in self.fused.outputs:
            value = tensors[output.tensor].to(x.dtype)
            if self.quantized:
                value = value * 2.0 ** self._output_threshold(layers[output.tensor])
            outputs.append(value.reshape(value.shape[0], *output.shape))
        return tuple(outputs)

    def run_layers(self, x: Tensor) -> dict[str, Tensor]:
        """Return the tensor of every layer by name, the input included.

        Quantized data is normalised to its threshold; wide tensors are in units of the threshold
        of the layer's input, float64 where float32 would not hold them.
        """
        tensors = {self.fused.input: quantize_input(x) if self.quantized else x}
        for layer in self.fused.layers:
            read = [tensors[name] for name in layer.inputs]
            tensors[layer.tensor] = self._layer(layer, read)
        return tensors

    def wide_unit(self, layer: HardwareLayer) -> Tensor:
        """Return the normalised value of one unit of a wide layer's accumulator."""
        from nibblefit_maxim.qat.rounding import weight_scale

        arithmetic = self._arithmetic[layer.name]
        weights, bias = self._parameters_of(layer)
        bias = None if bias is None else bias * 2.0**-arithmetic.threshold_in
        settings = arithmetic.settings
        scale = weight_scale(weights, bias, settings.weight_bits, settings.shift_quantile, 0)
        return 2.0 ** -(6 + settings.weight_bits) / scale.double()

    def _layer(self, layer: HardwareLayer, read: Sequence[Tensor]) -> Tensor:
        x = gather(layer, read, quantized=self.quantized)
        if layer.identity:
            return rectify(x, layer.activation, quantized=self.quantized)
        if not layer.has_weights:
            return x
        weights, bias = self._parameters_of(layer)
        arithmetic = self._arithmetic[layer.name]
        return operate(arithmetic, x, weights, bias, quantized=self.quantized)

    def _parameters_of(self, layer: HardwareLayer) -> tuple[Tensor, Tensor | None]:
        bias = self.constant(layer.bias) if layer.bias else None
        return self.constant(layer.weight), bias

    def _output_threshold(self, layer: HardwareLayer) -> int:
        name = layer.inputs[0] if layer.wide else layer.tensor
        return self.thresholds.get(name, 0)


class Simulation(torch.nn.Module):
    """Training's own execution of an integer graph: codes of every layer, from float arithmetic."""

    def __init__(self, network: QatNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, codes: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return int64 codes by tensor name for int64 input codes (batch, channels, *spatial)."""
        fused = self.network.fused
        x = codes[fused.input] if isinstance(codes, Mapping) else codes
        with torch.no_grad():
            tensors = self.network.run_layers(x.to(torch.float32) / 128.0)
        wide = {layer.tensor: layer for layer in fused.layers if layer.wide}
        found = {}
        for name, value in tensors.items():
            unit = self.network.wide_unit(wide[name]) if name in wide else 1 / 128
            found[name] = (value.double() / unit).round().to(torch.int64)
        for output in fused.outputs:
            value = found[output.tensor]
            found[output.name] = value.reshape(value.shape[0], *output.shape)
        return found
