"""What is asked for every tensor of a network: the merged quantization configuration.

Key names, values and defaults are those of the original's configuration file (pytorch_nndct 3.5,
``quant_config``), so that a person who knows one finds their way in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from nibblefit.ir.graph import frozen_mapping


class Kind(StrEnum):
    """Kinds of tensors that are configured apart from each other."""

    INPUT = "input"
    WEIGHTS = "weights"
    BIAS = "bias"
    ACTIVATION = "activation"


class RoundMode(StrEnum):
    """Where ties go: to even, toward +infinity, toward zero, away from zero."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_DOWN = "half_down"
    STD_ROUND = "std_round"


class Method(StrEnum):
    """How a scale is found from values."""

    MAXMIN = "maxmin"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"
    DIFFS = "diffs"


class Statistic(StrEnum):
    """How the scales of several batches become one; ``pooled`` looks at all samples at once."""

    MODAL = "modal"
    MAX = "max"
    MEAN = "mean"
    MEDIAN = "median"
    POOLED = "pooled"


class ScaleType(StrEnum):
    """Powers of two are shifts in hardware."""

    POWER_OF_TWO = "poweroftwo"
    FLOAT = "float"


class Device(StrEnum):
    """Values of ``target_device``."""

    DPU = "DPU"
    CPU = "CPU"
    GPU = "GPU"
    FLEXML = "FLEXML"


@dataclass(frozen=True, slots=True)
class TensorSetting:
    """How one tensor is quantized.

    Attributes:
        datatype: ``int``; other types are refused by name.
        bit_width: 2 to 32; 32 only where sums hold it (bias).
        method: How the scale is found.
        round_mode: Rounding of the tensor's values.
        symmetry: Zero point 0; otherwise codes are unsigned with a zero point.
        per_channel: One scale per output channel; weights only.
        signed: Codes below zero exist.
        narrow_range: Without the most negative code.
        scale_type: Powers of two or any float.
        calib_statistic_method: Of inputs and activations.
        percentage: Of the values inside the range; in (0, 100], for ``percentile``.
    """

    datatype: str = "int"
    bit_width: int = 8
    method: Method = Method.DIFFS
    round_mode: RoundMode = RoundMode.STD_ROUND
    symmetry: bool = True
    per_channel: bool = False
    signed: bool = True
    narrow_range: bool = False
    scale_type: ScaleType = ScaleType.POWER_OF_TWO
    calib_statistic_method: Statistic = Statistic.MODAL
    percentage: float = 99.99

    @property
    def lowest(self) -> int:
        """Smallest code."""
        if not (self.signed and self.symmetry):
            return 0
        return -(1 << (self.bit_width - 1)) + int(self.narrow_range)

    @property
    def highest(self) -> int:
        """Largest code."""
        signed = self.signed and self.symmetry
        return (1 << (self.bit_width - int(signed))) - 1


LayerSetting = Mapping[Kind, TensorSetting]

#: Source: pytorch_nndct 3.5, default DPU strategy; activations alone round half up.
DPU_DEFAULT: LayerSetting = MappingProxyType(
    {
        kind: TensorSetting(
            round_mode=RoundMode.HALF_UP if kind is Kind.ACTIVATION else RoundMode.STD_ROUND
        )
        for kind in Kind
    }
)


@dataclass(frozen=True, slots=True)
class NetworkSetting:
    """The configuration of a whole network, merged and checked.

    Attributes:
        device: Whose rules hold.
        parity: Behave as the original does, with its silent exceptions; otherwise every setting
            works or was refused.
        base: What holds for every layer not named in `layers`.
        layers: What differs, by layer (node name in the graph); resolved from types, module
            paths and globs.
        include_cle: Equalize neighbouring layers.
        include_bias_corr: Correct biases after quantization.
        convert_relu6_to_relu: Replace ReLU6 by ReLU.
        convert_silu_to_hswish: Replace SiLU by hard-swish.
        keep_first_last_layer_accuracy: Spend more bits or effort on the outermost layers.
        keep_add_layer_accuracy: Likewise on sums.
        change_concat_input_fix: Inputs of a concatenation adopt its output's format.
        change_pool_input_fix: Inputs of a pool adopt its output's format.
        onnx_opset_version: -1 is the newest that the writer knows.
    """

    device: Device = Device.DPU
    parity: bool = False
    base: LayerSetting = field(default_factory=lambda: DPU_DEFAULT)
    layers: Mapping[str, LayerSetting] = field(default_factory=frozen_mapping)
    include_cle: bool = True
    include_bias_corr: bool = True
    convert_relu6_to_relu: bool = False
    convert_silu_to_hswish: bool = False
    keep_first_last_layer_accuracy: bool = False
    keep_add_layer_accuracy: bool = False
    change_concat_input_fix: bool = False
    change_pool_input_fix: bool = False
    onnx_opset_version: int = -1

    def __reduce__(self) -> tuple[object, ...]:
        # mappingproxy does not pickle; training processes receive settings by value.
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["base"] = dict(self.base)
        values["layers"] = {name: dict(own) for name, own in self.layers.items()}
        return (_setting, (values,))

    def of(self, layer: str, kind: Kind) -> TensorSetting:
        """Return how a tensor of a layer is quantized."""
        return self.layers.get(layer, self.base)[kind]


def _setting(values: dict[str, Any]) -> NetworkSetting:
    layers = {name: frozen_mapping(own) for name, own in values["layers"].items()}
    base = frozen_mapping(values["base"])
    return NetworkSetting(**{**values, "base": base, "layers": frozen_mapping(layers)})
