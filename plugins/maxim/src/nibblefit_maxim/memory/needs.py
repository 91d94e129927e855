"""What one layer asks of the memories, before anything is placed.

Source: ai8x-synthesis commit ab4f4c0, `izer/kernels.py` (weight columns) and
`izer/backend/max7800x.py` (data and bias), restated for maps that start at a multiple of four
and have no gaps.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.processors import contiguous, passes, processors_per_pass, span

#: Bits of one word of weight memory.
WORD_BITS = 72
#: Bytes of one word of data memory: four channels of one position.
DATA_WORD_BYTES = 4


@dataclass(frozen=True, slots=True)
class LayerNeeds:
    """A layer with the two facts about its parameters that decide memory.

    Attributes:
        layer: The layer.
        weight_bits: 1, 2, 4 or 8.
        is_biased: Whether any bias code is other than zero; zero biases need no memory.
    """

    layer: HardwareLayer
    weight_bits: int = 8
    is_biased: bool = False

    @property
    def in_passes(self) -> int:
        """Passes over the input channels."""
        return passes(self.layer.in_channels)

    @property
    def out_passes(self) -> int:
        """Passes over the output channels."""
        return passes(self.layer.out_channels)

    @property
    def in_processors(self) -> int:
        """Processors on while reading."""
        return processors_per_pass(self.layer.in_channels)

    @property
    def out_processors(self) -> int:
        """Processors whose memories are written."""
        return processors_per_pass(self.layer.out_channels)

    @property
    def kernel_words(self) -> int:
        """72-bit words of weight memory on every active input processor, for a map of outputs
        that starts at a multiple of four and has no gaps.
        """
        return self.kernel_words_for(contiguous(0, self.out_processors))

    def kernel_words_for(self, output_map: int) -> int:
        """Return the words for any output map; gaps in it and its first bits cost words."""
        layer, width = self.layer, self.weight_bits
        if not layer.has_weights:
            return 0
        if layer.groups > 1:
            kernels = self.in_passes
        else:
            positions = layer.input_pixels if layer.flatten else 1
            many = self.out_passes
            kernels = span(output_map, many) * many * positions * self.in_passes
        taps = 1 if layer.operator is Operator.LINEAR else stored_taps(layer)
        per_byte = 8 // width
        padding = (kernels % per_byte) * taps * (per_byte - 1)
        return -(-(kernels * taps * width + padding) // WORD_BITS)

    @property
    def bias_bytes(self) -> int:
        """Bytes of bias memory, in one quadrant."""
        return self.layer.out_channels if self.is_biased else 0

    def input_bytes(self, *, chw: bool = False) -> int:
        """Bytes the input occupies in each data-memory instance it uses."""
        words = self.layer.input_pixels * self.in_passes * self.layer.operands
        return words * (1 if chw else DATA_WORD_BYTES)

    @property
    def output_bytes(self) -> int:
        """Bytes the output occupies in each data-memory instance it uses."""
        width = 4 if self.layer.wide else 1
        return self.layer.output_pixels * self.out_passes * DATA_WORD_BYTES * width


#: A dilated 1-D kernel that reaches this far is run on the 2-D hardware.
_LONG_REACH = 9


def stored_taps(layer: HardwareLayer) -> int:
    """Return the taps of one kernel in weight memory.

    Dilated 1-D kernels are stored with zeros between their taps, long ones as 3×3 kernels.
    """
    reach = (layer.kernel[0] - 1) * layer.dilation[0] if runs_dilated(layer) else 0
    if reach == 0:
        return prod(layer.kernel)
    return reach + 1 if reach < _LONG_REACH else 9


def runs_dilated(layer: HardwareLayer) -> bool:
    """Return whether a layer is a dilated 1-D convolution."""
    return layer.operator is Operator.CONV1D and layer.dilation[:1] > (1,)


def spill_words(layer: HardwareLayer) -> tuple[int, int]:
    """Return how many positions a layer writes in front of its output and behind it.

    A widely dilated 1-D convolution runs as a 2-D one on rows as long as the dilation; the first
    and the last rows of its result mean nothing, but are written. Source: ai8x-synthesis commit
    ab4f4c0, `izer/backend/max7800x.py`, dilation.
    """
    if not runs_dilated(layer):
        return 0, 0
    dilation, taps = layer.dilation[0], layer.kernel[0]
    if (taps - 1) * dilation < _LONG_REACH:
        return 0, 0
    written = -(-layer.input_pixels // dilation) * dilation
    return (dilation if taps == 3 else 0), written - layer.output_pixels
