"""One entry of the recipe's ``[quantize.layers]`` for this target."""

from __future__ import annotations

from pydantic import Field

from nibblefit_vitis.configuration.keys import KINDS
from nibblefit_vitis.configuration.schema import QuantizeBlock
from nibblefit_vitis.settings import Kind

#: Marks a kind of layers among names: ``[quantize.layers."type:Conv2d"]``.
TYPE_MARK = "type:"


class LayerOptions(QuantizeBlock):
    """Settings of the layers that a name, module path, glob or ``type:Conv2d`` means."""

    quantizable_data_type: tuple[Kind, ...] = Field(
        default=KINDS, description="Kinds of tensors that the entry is about; unset: all four."
    )
    input: QuantizeBlock | None = Field(default=None, description="Keys for inputs alone.")
    weights: QuantizeBlock | None = Field(default=None, description="Keys for weights alone.")
    bias: QuantizeBlock | None = Field(default=None, description="Keys for biases alone.")
    activation: QuantizeBlock | None = Field(
        default=None, description="Keys for activations alone."
    )
