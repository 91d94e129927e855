"""Room for biases where an accelerator carries them as a product of two narrow numbers.

MMAv1 adds biases as *bias code · factor*, both as wide as the data. Where the factor would have to
be larger than it can be, the importer lowers the scale of the layer's input by half of the missing
bits, rounded up, and says so; given ranges that are to be trusted (calibration flag 64) stay. The
weights' scale gives what is still missing. Source: TIDL importer (2025), check of the bias scale.
"""

from __future__ import annotations

import math

import numpy as np

from nibblefit.fixed.formats import FloatArray
from nibblefit_tidl.current.modes import GIVEN_RANGES, Mode


def missing_bits(bias: FloatArray, steps: FloatArray, most: float) -> int:
    """Return by how many bits a bias exceeds what the layer can add; 0 if it fits.

    Args:
        bias: Real values.
        steps: Real value of one accumulator step, one or one per channel.
        most: Largest bias in accumulator steps.
    """
    needed = float(np.max(np.abs(bias) / steps, initial=0.0))
    return max(0, math.ceil(math.log2(needed / most))) if needed > 0 else 0


class BiasRoom:
    """Decides, over several passes, who makes room for which bias.

    Args:
        mode: The quantization.

    Attributes:
        lowered: Tensor → bits that its step is coarser.
        changed: Whether this pass lowered anything.
        notes: What was lowered, one line each.
    """

    def __init__(self, mode: Mode) -> None:
        self._trusts = mode.has(GIVEN_RANGES)
        self.lowered: dict[str, int] = {}
        self._asked: set[str] = set()
        self.changed = False
        self.notes: list[str] = []

    def ask(self, layer: str, tensor: str, excess: int) -> int:
        """Return how many bits the layer's weights give up.

        Args:
            layer: The layer whose bias does not fit.
            tensor: The tensor whose scale decides that of the layer's input; empty if it is fixed.
            excess: Missing bits.
        """
        if not excess:
            return 0
        if self._trusts or not tensor or layer in self._asked:
            if layer not in self._asked:
                self._note(layer, excess, f"its weights lose {_bits(excess)} of resolution")
            self._asked.add(layer)
            return excess
        self._asked.add(layer)
        share = math.ceil(excess / 2)
        self.lowered[tensor] = self.lowered.get(tensor, 0) + share
        self.changed = True
        weights = f" and its weights {excess - share}" if excess > share else ""
        self._note(layer, excess, f"tensor '{tensor}' loses {_bits(share)} of resolution{weights}")
        return excess

    def _note(self, layer: str, excess: int, loss: str) -> None:
        self.notes.append(
            f"layer '{layer}': its bias is {_bits(excess)} too large for the accelerator; {loss}"
        )

    def next_pass(self) -> None:
        """Start over with what was lowered."""
        self.changed = False


def _bits(count: int) -> str:
    return "1 bit" if count == 1 else f"{count} bits"
