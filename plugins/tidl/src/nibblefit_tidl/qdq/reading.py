"""`read_qdq`: a QDQ ONNX file, ours or TI's, as an integer graph that judge and engine run.

The pairs of QuantizeLinear and DequantizeLinear are taken out and become number formats; what is
left is a float network, imported and lowered as any other, with the file's codes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.fixed.formats import Format, Scale
from nibblefit.ir.graph import Graph, Node
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.nn.onnx_import.importer import MALFORMED, Importer
from nibblefit.nn.problems import unsupported
from nibblefit.quantization.assign import Assignment, complete
from nibblefit.quantization.build import lower
from nibblefit.quantization.units import AVERAGES, Output, Unit, units
from nibblefit.quantization.weights import Codes
from nibblefit_tidl.current.numerics import numerics_of
from nibblefit_tidl.devices import AM68A, TDA4VM
from nibblefit_tidl.qdq.functions import FUNCTIONS, functions_of
from nibblefit_tidl.qdq.structure import (
    DEQUANTIZE,
    PAIR,
    QUANTIZE,
    Structure,
    attribute,
    is_power_of_two,
    load_qdq,
    place_of,
    structure_of,
)
from nibblefit_tidl.qdq.writing import bias_steps

#: Metadata of the graph: tensor → the file's tensor of codes.
QDQ_TENSORS = "qdq_tensors"
_WEIGHTED = {"Conv", "ConvTranspose", "Gemm"}


def read_qdq(path: Path | str) -> QuantizedGraph:
    """Return the integer graph of a QDQ model.

    Files whose scales are all powers of two, without zero points, are read as scale type 1,
    others as scale type 4.

    Raises:
        InputError: The file is damaged, or a pair is missing or inconsistent.
        UnsupportedError: It holds operators that cannot be represented.
    """
    return graph_of(load_qdq(path), Path(path).stem)


def graph_of(model: onnx.ModelProto, name: str = "network") -> QuantizedGraph:
    """Return the integer graph of a loaded QDQ model; see `read_qdq`."""
    structure = structure_of(model)
    _check_quantizers(structure)
    reader = _Reader(structure, name)
    kind = 1 if reader.is_power_of_two else 4
    numerics = numerics_of(TDA4VM if kind == 1 else AM68A, kind)
    parts = tuple(reader.unit(unit) for unit in units(reader.graph, numerics))
    given = Assignment(reader.formats, reader.constants())
    done = complete(reader.graph, parts, numerics, given)
    for tensor, fmt in reader.formats.items():
        if done.tensors.get(tensor) != fmt:
            raise InputError(
                f"tensor '{tensor}' has another scale or zero point than its layer's input",
                hint="maxima, reshapes and rectified layers have one pair, behind them",
            )
    facts = {"quantization_scale_type": kind, "tensor_bits": 8, QDQ_TENSORS: reader.codes,
             FUNCTIONS: functions_of(parts)}  # fmt: skip
    return lower(reader.graph, parts, numerics, done, target="tidl", metadata=facts)


class _Reader:
    """Takes the pairs out of a model and keeps what they say.

    Attributes:
        graph: The float network, folded.
        formats: Format of every tensor that a QuantizeLinear makes.
        codes: Tensor → the file's tensor of codes.
        is_power_of_two: Scale type 1 can hold every format.
    """

    def __init__(self, structure: Structure, name: str) -> None:
        self.structure = structure
        self.is_power_of_two = _is_power_of_two(structure)
        self._importer = Importer(structure.model, structure.opset, _batch(structure), name)
        self._enter_inputs()
        self._enter_constants()
        self._walk()
        values = self._importer.values
        outputs = [self._tensor(v.name) for v in structure.model.graph.output]
        self.graph: Graph = self._importer.builder.finish(outputs)
        self.formats: dict[str, Format] = {}
        self.codes: dict[str, str] = {}
        for node in structure.nodes:
            if node.op_type == QUANTIZE and isinstance(values.get(node.input[0]), str):
                tensor = str(values[node.input[0]])
                self.formats[tensor] = self._activation(node)
                self.codes[tensor] = node.output[0]
        missing = [name for name in self.graph.inputs if name not in self.formats]
        if missing:
            raise InputError(f"input '{missing[0]}' is not quantized",
                             hint="put QuantizeLinear and DequantizeLinear behind it")  # fmt: skip

    def unit(self, unit: Unit) -> Unit:
        """Return a unit with the output that the file says: averages may rescale."""
        inner = [unit.node, *unit.rectifiers][:-1]
        for node in inner:
            if node.output in self.formats:
                raise InputError(
                    f"a QuantizeLinear stands between '{node.name}' and its rectifier",
                    hint="quantize behind the rectifier only",
                )
        (tensor, *_) = unit.tensors
        if unit.output is not Output.FIXED and tensor not in self.formats:
            raise InputError(f"what layer '{unit.node.name}' makes is not quantized",
                             hint="put QuantizeLinear and DequantizeLinear behind it")  # fmt: skip
        if unit.node.op is Op.SOFTMAX and tensor in self.formats:
            return replace(unit, output=Output.CALIBRATED)
        if unit.node.op not in AVERAGES or self.is_power_of_two:
            return unit
        kept = self.formats[tensor] == self.formats.get(unit.node.inputs[0])
        return replace(unit, output=Output.KEPT if kept else Output.CALIBRATED)

    def constants(self) -> dict[tuple[str, int], Codes]:
        """Return the codes of every constant operand."""
        made = self.graph.producers()
        found: dict[tuple[str, int], Codes] = {}
        for source in self.structure.nodes:
            tensor = self._importer.values.get(source.output[0]) if source.output else None
            if source.op_type in PAIR or not isinstance(tensor, str):
                continue
            node = made.get(tensor)
            for place, name in enumerate(source.input):
                pair = self.structure.dequantized_constant(name)
                if node is not None and pair is not None and place < len(node.inputs):
                    found[node.name, place] = self._constant(source, node, place, pair)
        return found

    def _constant(self, source: onnx.NodeProto, node: Node, place: int,
                  pair: onnx.NodeProto) -> Codes:  # fmt: skip
        given = self.structure.parameters(pair)
        codes = np.asarray(self.structure.constants[pair.input[0]], np.int64)
        scale = np.asarray(given.scale, np.float64).reshape(-1)
        bits, signed = _width(self.structure.constants[pair.input[0]].dtype, place_of(pair))
        axis = given.axis if given.per_channel else None
        if source.op_type == "Gemm" and place == 1 and not attribute(source, "transB", 0):
            codes, axis = codes.T, None if axis is None else 1 - axis
        steps = _scale(scale, power_of_two=self.is_power_of_two)
        if source.op_type in _WEIGHTED and place == 2:
            steps = self._bias_scale(source, scale, node)
        zero = 0 if given.zero is None else int(np.asarray(given.zero).reshape(-1)[0])
        values = np.array(codes.reshape(self.graph.constants[node.inputs[place]].shape))
        values.flags.writeable = False
        return Codes(values, Format(bits, signed, steps, (zero,), axis))

    def _bias_scale(self, source: onnx.NodeProto, scale: npt.NDArray[np.float64],
                    node: Node) -> Scale:  # fmt: skip
        """Return the exact product of input and weight scales that a bias scale is rounded from."""
        x = self.formats[node.inputs[0]].scale.values()[0]
        pair = self.structure.dequantized_constant(source.input[1])
        weights = None if pair is None else self.structure.parameters(pair).scale
        if weights is None:
            raise InputError(f"the weights of '{place_of(source)}' are not quantized",
                             hint="nibblefit tidl lint names every such layer")  # fmt: skip
        exact = np.asarray(weights, np.float64).reshape(-1)
        rounded = bias_steps(float(x), exact)
        if rounded.shape != scale.shape or not np.allclose(rounded, scale, rtol=2.0**-22, atol=0.0):
            raise InputError(
                f"the bias scale of '{place_of(source)}' is not input scale times weight scale",
                hint="write biases in the accumulator's scale",
            )
        return _scale(float(x) * exact, power_of_two=self.is_power_of_two)

    def _activation(self, node: onnx.NodeProto) -> Format:
        given = self.structure.parameters(node)
        if given.scale is None or given.per_channel:
            raise InputError(f"QuantizeLinear '{place_of(node)}' has no scalar constant scale",
                             hint="activations have one scale")  # fmt: skip
        kind = np.dtype(np.uint8) if given.zero is None else given.zero.dtype
        bits, signed = _width(kind, place_of(node))
        step = float(np.asarray(given.scale, np.float64).reshape(-1)[0])
        zero = 0 if given.zero is None else int(given.zero.reshape(-1)[0])
        return Format(bits, signed, _scale(np.array([step]), power_of_two=self.is_power_of_two),
                      (zero,))  # fmt: skip

    def _enter_inputs(self) -> None:
        for value in self.structure.inputs:
            sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if len(sizes) < 2 or min(sizes[1:]) < 1:
                raise InputError(
                    f"input '{value.name}' has no static shape",
                    hint="export with fixed sizes and run shape inference",
                )
            self._importer.add_input(value.name, tuple(sizes[1:]))

    def _enter_constants(self) -> None:
        self._importer.values.update(self.structure.constants)
        for node in self.structure.nodes:
            if node.op_type == DEQUANTIZE and node.input[0] in self.structure.constants:
                self._importer.values[node.output[0]] = _real(self.structure, node)

    def _walk(self) -> None:
        """Import the float network; pairs pass their tensor on."""
        values = self._importer.values
        try:
            for node in self.structure.nodes:
                if node.op_type in PAIR:
                    values.setdefault(node.output[0], values.get(node.input[0], ""))
                else:
                    self._importer.walk([node])
        except MALFORMED as problem:
            raise InputError(f"the model contradicts itself: {problem}",
                             hint="export the network again") from problem  # fmt: skip
        if self._importer.problems:
            raise unsupported("the QDQ model", self._importer.problems)

    def _tensor(self, name: str) -> str:
        found = self._importer.values.get(name)
        if not isinstance(found, str) or not found:
            raise InputError(f"output '{name}' depends on no input", hint="export it again")
        return found


def _is_power_of_two(structure: Structure) -> bool:
    given = [structure.parameters(n) for n in structure.nodes if n.op_type in PAIR]
    plain = not any(entry.zero is not None and np.any(entry.zero) for entry in given)
    scales = [entry.scale for entry in given if entry.scale is not None]
    return plain and all(is_power_of_two(scale) for scale in scales)


def _real(structure: Structure, node: onnx.NodeProto) -> npt.NDArray[np.float64]:
    """Return what a DequantizeLinear of a constant makes, in float64, where it is exact."""
    given = structure.parameters(node)
    codes = np.asarray(structure.constants[node.input[0]], np.float64)
    if given.scale is None:
        raise InputError(f"'{place_of(node)}' has no constant scale", hint="export it again")
    scale = np.asarray(given.scale, np.float64)
    zero = np.zeros(()) if given.zero is None else np.asarray(given.zero, np.float64)
    if np.any(zero):
        raise UnsupportedError(f"constant '{node.input[0]}' has a zero point",
                               hint="weights are symmetric on these devices")  # fmt: skip
    if given.per_channel:
        if not -codes.ndim <= given.axis < codes.ndim or codes.shape[given.axis] != scale.size:
            raise InputError(f"'{place_of(node)}' has {scale.size} scales along axis {given.axis} "
                             f"of a tensor of shape {codes.shape}",
                             hint="give one scale per output channel")  # fmt: skip
        shape = [1] * codes.ndim
        shape[given.axis] = -1
        scale = scale.reshape(shape)
    return np.asarray(codes * scale)


def _check_quantizers(structure: Structure) -> None:
    for node in structure.nodes:
        if node.op_type == QUANTIZE and structure.is_constant(node.input[0]):
            raise UnsupportedError(
                f"QuantizeLinear '{place_of(node)}' stands on a constant",
                hint="write the integers with DequantizeLinear alone",
            )
    if not any(node.op_type == QUANTIZE for node in structure.nodes):
        raise InputError("the model has no QuantizeLinear: it is a float model",
                         hint="use it as a float model, or quantize it")  # fmt: skip


def _width(kind: np.dtype[Any], where: str) -> tuple[int, bool]:
    if kind not in (np.int8, np.uint8, np.int32):
        raise UnsupportedError(f"'{where}' has codes of type {kind}",
                               hint="use uint8 or int8, and int32 for biases")  # fmt: skip
    return 8 * kind.itemsize, kind.kind == "i"


def _scale(steps: npt.NDArray[np.float64], *, power_of_two: bool) -> Scale:
    if power_of_two:
        return Scale.power_of_two(*(1 - np.frexp(steps)[1]).tolist())
    return Scale.real(*steps.tolist())


def _batch(structure: Structure) -> int:
    dims = structure.inputs[0].type.tensor_type.shape.dim if structure.inputs else ()
    return int(dims[0].dim_value) if dims else 1
