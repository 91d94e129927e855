"""Bias correction as the original does it: a step after every batch.

Source: pytorch_nndct 3.5, bias correction of convolutions and dense layers. The result depends on
how many batches there are; `nibblefit_vitis.calibration.matched_bias` has a closed form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nibblefit.ir.graph import Node
from nibblefit.nn.execute import outputs_of

_RATE = 0.05
_DECAY = 0.8


@dataclass
class IterativeBias:
    """One layer's bias while it is corrected.

    Attributes:
        weights: Float weights.
        original: Float bias.
        bias: The corrected one, float32; rounded before the first batch and never again.
    """

    weights: Tensor
    original: Tensor
    bias: Tensor
    _rate: float = _RATE
    _efficiency: float = 0.0
    _deviation: float = 0.0
    _stopped: bool = False

    def update(self, node: Node, inputs: Sequence[Tensor], output: Tensor) -> None:
        """Move the bias against the mean error of one batch.

        Args:
            node: The layer.
            inputs: Its rounded input first.
            output: What it made of them with rounded parameters; rounded itself where the
                layer is the end of its group.
        """
        if self._stopped:
            return
        (wanted,) = outputs_of(node, (inputs[0], self.weights, self.original))
        missed = output - wanted
        noise = float(missed.square().mean())
        if noise == 0.0:
            return
        efficiency = 1.25 * math.log10(float(wanted.square().mean()) / noise)
        deviation = abs(efficiency - self._efficiency)
        if deviation == 0.0 or self._converged(efficiency, deviation):
            self._stopped = True
            return
        axes = [axis for axis in range(missed.dim()) if axis != _channel_axis(missed)]
        self.bias = self.bias - missed.mean(axes) * self._rate

    def _converged(self, efficiency: float, deviation: float) -> bool:
        """Follow the signal-to-noise ratio; return whether more steps would only wander."""
        self._efficiency = _DECAY * self._efficiency + (1 - _DECAY) * efficiency
        self._deviation = _DECAY * self._deviation + (1 - _DECAY) * deviation
        if self._efficiency > 4.0:
            self._rate *= 0.5
        settled = self._deviation / self._efficiency < 0.05
        return (
            self._efficiency > 4.3 or settled or abs(deviation - self._deviation / deviation) < 0.05
        )


def _channel_axis(output: Tensor) -> int:
    return 1 if output.dim() > 2 else output.dim() - 1


def is_corrected(node: Node, constants: dict[str, Tensor]) -> bool:
    """Return whether a layer has a constant bias to correct."""
    return len(node.inputs) > 2 and all(name in constants for name in node.inputs[1:])


def started(node: Node, constants: dict[str, Tensor], rounded: Tensor) -> IterativeBias:
    """Return the bias of a layer before the first batch.

    Args:
        node: The layer.
        constants: Float values of all constants.
        rounded: Its bias, rounded.
    """
    weights, bias = (constants[name] for name in node.inputs[1:3])
    return IterativeBias(weights, bias, rounded)
