"""The numbers about input and output that configuration files hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_tidl.front.preprocessing import Preprocessing

#: inElementType and outElementType. Source: stand-alone importer, list of keys.
ELEMENT_TYPES = {(8, False): 0, (8, True): 1, (16, False): 2, (16, True): 3}

#: addDataConvertToNet and add_data_convert_ops: conversions on the accelerator.
INPUT, OUTPUT, BOTH_ENDS = 1, 2, 3


class Where(StrEnum):
    """Where mean and scale are computed."""

    HOST = "host"  #: the application normalizes and sends the input's codes
    FOLD = "fold"  #: inside the first convolution, by the importer
    CONVERT = "convert"  #: in data-convert layers on the accelerator


@dataclass(frozen=True, slots=True)
class FrontNumbers:
    """Input and output of a network as configuration files describe them.

    Attributes:
        where: Where mean and scale are computed.
        mean: inMean per channel, in pixels.
        scale: inScale per channel.
        fold_pre_bn: foldPreBnConv2D: 1, or 2 with a pad layer of the mean.
        input_type: inElementType.
        input_zero: inZeroPoint.
        input_scale: inTensorScale: codes per unit, the reciprocal of a format's scale.
        output_types: outElementType per output.
        output_zeros: outZeroPoint per output.
        output_scales: outTensorScale per output; value = (raw − zero point) / scale.
    """

    where: Where
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    fold_pre_bn: int
    input_type: int
    input_zero: int
    input_scale: float
    output_types: tuple[int, ...]
    output_zeros: tuple[int, ...]
    output_scales: tuple[float, ...]

    def importer_keys(self) -> dict[str, Any]:
        """Return the keys of a TIDL-RT import file; lists have one entry per channel or output."""
        normalized = self.where is Where.FOLD
        found: dict[str, Any] = {
            "inElementType": [self.input_type],
            "inZeroPoint": [self.input_zero],
            "inTensorScale": [self.input_scale],
            "inDataNorm": [int(normalized)],
            "addDataConvertToNet": self.convert_bits,
        }
        if not self.convert_bits & OUTPUT:
            found |= {"outElementType": list(self.output_types),
                      "outZeroPoint": list(self.output_zeros),
                      "outTensorScale": list(self.output_scales)}  # fmt: skip
        if normalized:
            found |= {"inMean": list(self.mean), "inScale": list(self.scale),
                      "foldPreBnConv2D": self.fold_pre_bn}  # fmt: skip
        return found

    def provider_options(self) -> dict[str, int]:
        """Return the options of the ONNX Runtime provider.

        Its models state the types of both ends themselves: the casts that lead there run on the
        accelerator.
        """
        return {
            "advanced_options:add_data_convert_ops": BOTH_ENDS,
            "advanced_options:pre_batchnorm_fold": int(self.where is not Where.CONVERT),
        }

    @property
    def convert_bits(self) -> int:
        """addDataConvertToNet: 1 input, 2 output, 3 both, 0 none."""
        return BOTH_ENDS if self.where is Where.CONVERT else 0


def front_numbers(graph: QuantizedGraph, given: Preprocessing, where: Where = Where.HOST,
                  fold_pre_bn: int = 1) -> FrontNumbers:  # fmt: skip
    """Return the numbers of a network with one input.

    Args:
        graph: The integer graph; with `Where.HOST` its input format is the network's.
        given: Mean and scale of the input.
        where: Where they are computed.
        fold_pre_bn: `FoldedFront.fold_pre_bn`.

    Raises:
        UnsupportedError: The network has several inputs, or a tensor no element type.
    """
    if len(graph.inputs) != 1:
        raise UnsupportedError(f"the network has {len(graph.inputs)} inputs; mean and scale belong "
                               "to one", hint="write its configuration by hand")  # fmt: skip
    source = graph.tensors[graph.inputs[0]].format
    outputs = [graph.tensors[name].format for name in graph.outputs]
    pixels = where is not Where.HOST
    return FrontNumbers(
        where, given.mean, given.scale, fold_pre_bn,
        0 if pixels else _element_type(source, graph.inputs[0]),
        0 if pixels else source.zero_point[0],
        1.0 if pixels else 1.0 / float(source.scale.values()[0]),
        tuple(_output_type(graph, name) for name in graph.outputs),
        tuple(fmt.zero_point[0] for fmt in outputs),
        tuple(1.0 / float(fmt.scale.values()[0]) for fmt in outputs),
    )  # fmt: skip


def describe(numbers: FrontNumbers) -> Mapping[str, Any]:
    """Return all numbers by name, as JSON values, for reports and READMEs."""
    return {name: _plain(getattr(numbers, name)) for name in numbers.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value.value if isinstance(value, Where) else value


def _output_type(graph: QuantizedGraph, name: str) -> int:
    """Return an output's element type; indices take the bytes that their classes need."""
    maker = graph.producers().get(name)
    if maker is None or maker.op is not Op.ARGMAX:
        return _element_type(graph.tensors[name].format, name)
    classes = graph.tensors[maker.inputs[0]].shape[int(maker.attributes["axis"]) - 1]
    return ELEMENT_TYPES[8 if classes <= 256 else 16, False]


def _element_type(fmt: Format, name: str) -> int:
    found = ELEMENT_TYPES.get((fmt.bits, fmt.signed))
    if found is None:
        raise UnsupportedError(f"'{name}' has {fmt.bits} bits, which have no element type",
                               hint="use 8 or 16 bits")  # fmt: skip
    return found
