"""The messages of a quantization-parameter file.

Source: TIDLNetQuantParams, the text proto behind quant_params_proto_path (edgeai-tidl-tools 11).
Only minimum and maximum drive scales; the other numbers are there for people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class QuantType(StrEnum):
    """quant_type."""

    SYMMETRIC = "SYMMETRIC"
    ASYMMETRIC = "ASYMMETRIC"


class CalibType(StrEnum):
    """calib_type."""

    PERTENSOR = "PERTENSOR"
    PERCHANNEL = "PERCHANNEL"


@dataclass(frozen=True, slots=True)
class TensorParameters:
    """One tensor of a layer.

    Attributes:
        min: Smallest value; None where the file leaves it out.
        max: Largest value; None where the file leaves it out.
        size: Number of values.
        element_type: Type of the codes, such as ``int8``; free text.
        scale: Codes per unit, one or one per channel.
        zero_point: One or one per channel.
        value: The values themselves, biases and slopes only.
    """

    min: float | None = None
    max: float | None = None
    size: int = 0
    element_type: str = ""
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    value: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerParameters:
    """One layer as the importer merges it, named after its output tensor."""

    layer_name: str = ""
    layer_type: str = ""
    bit_depth: int = 8
    outputs: tuple[TensorParameters, ...] = ()
    weights: tuple[TensorParameters, ...] = ()
    bias: tuple[TensorParameters, ...] = ()
    slope: tuple[TensorParameters, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """A whole file."""

    num_layers: int = 0
    quant_type: QuantType = QuantType.SYMMETRIC
    calib_type: CalibType = CalibType.PERTENSOR
    layers: tuple[LayerParameters, ...] = ()
