"""`to_qdq`: a prepared network with formats as an ONNX model.

Its form is that of the original's native export: float layers between pairs of QuantizeLinear and
DequantizeLinear, parameters included, the factor of average pools as a product. Two things differ
on purpose: parameters hold the values of their codes, so that QuantizeLinear's rounding cannot
change them, and names are those of our graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import FloatConstant, Graph, Node, Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.emitters import EMITTERS
from nibblefit.nn.onnx_export.entry import assembled
from nibblefit.nn.onnx_export.writer import Writer
from nibblefit_vitis.configuration.checking import OLDEST_OPSET, newest_opset
from nibblefit_vitis.formats import NetworkFormats, TensorFormat
from nibblefit_vitis.quantize.formats import parameter_codes
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective, has_device_constants
from nibblefit_vitis.writing.onnx_form.factors import FACTOR_EMITTERS, dense
from nibblefit_vitis.writing.onnx_form.naming import (
    codes_name,
    input_value_name,
    own_codes_name,
    own_value_name,
    raw_name,
)
from nibblefit_vitis.writing.onnx_form.steps import Step, step_of

#: Operator sets: written by default, and the first with 16-bit codes.
OPSET, WIDE = 17, 21
NOTE = (
    "QuantizeLinear rounds ties to even, the DPU rounds them up: a value exactly between two codes "
    "may become the other one. No setting of ONNX expresses the DPU's rounding."
)


def to_qdq(graph: Graph, formats: NetworkFormats, setting: NetworkSetting, *,
           batch: int = 1) -> onnx.ModelProto:  # fmt: skip
    """Return the checked model, batch fixed, shapes inferred; equal networks give equal bytes.

    Raises:
        UnsupportedError: A layer, or a width in the asked operator set, has no form in ONNX.
    """
    opset = _opset(formats, setting)
    writer = QdqWriter(_renamed(graph, formats), formats, setting, opset)
    for name in graph.inputs:
        writer.round_input(name)
    for node in writer.graph.nodes:
        writer.write(node)
    model = assembled(writer, batch=batch, producer="nibblefit-vitis")
    helper.set_model_props(model, {"rounding": NOTE})
    inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def onnx_bytes(model: onnx.ModelProto) -> bytes:
    """Return the file of a model; equal models give equal bytes."""
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw


class QdqWriter(Writer):
    """Writes float layers, and roundings where tensors have formats."""

    def __init__(self, graph: Graph, formats: NetworkFormats, setting: NetworkSetting,
                 opset: int) -> None:  # fmt: skip
        super().__init__(graph, opset)
        self.formats, self.setting = formats, setting
        self._reader = graph.nodes[0] if graph.nodes else None
        self._parameters: dict[str, str] = {}

    def round_input(self, name: str) -> None:
        """Round a graph input, where it has a format."""
        form = self.formats.outputs.get(name)
        if form is not None:
            narrow = effective(self.setting, name, Kind.INPUT).narrow_range
            self.round(step_of(form, narrow=narrow), name, input_value_name(name), codes_name(name))

    def rounds(self, output: str) -> bool:
        """Return whether what a layer makes is rounded afterwards."""
        return output != output.removesuffix(raw_name(""))

    def write(self, node: Node) -> None:
        """Write one layer, with the rounding of its input and of its outputs."""
        extra = self.formats.inputs.get(node.name)
        if extra is not None:
            made = own_value_name(node.name)
            self.round(step_of(extra), node.inputs[0], made, own_codes_name(node.name))
            node = replace(node, inputs=(made, *node.inputs[1:]))
        self._reader = node
        if node.op in FACTOR_EMITTERS and has_device_constants(self.setting):
            FACTOR_EMITTERS[node.op](self, node)
        elif node.op is Op.LINEAR:
            dense(self, node)
        else:
            EMITTERS[node.op](self, node)
        for output in node.outputs:
            tensor = output.removesuffix(raw_name(""))
            if tensor != output:
                form = self.formats.outputs[tensor]
                if form is not None:
                    own = effective(self.setting, node.name, Kind.ACTIVATION)
                    step = step_of(form, narrow=own.narrow_range)
                    self.round(step, output, tensor, codes_name(tensor))

    def constant(self, name: str) -> str:
        """Write a parameter with its rounding; its name then stands for the rounded values."""
        form = self.formats.params.get(name)
        if form is None:
            return super().constant(name)
        return self._parameter(name, form, tuple(np.shape(self.graph.constants[name])))

    def reshaped(self, name: str, shape: Shape) -> str:
        """Write a parameter in another shape."""
        form = self.formats.params.get(name)
        return super().reshaped(name, shape) if form is None else self._parameter(name, form, shape)

    def _parameter(self, name: str, form: TensorFormat, shape: Shape) -> str:
        key = f"{name}:{shape}"
        if key in self._parameters:
            return self._parameters[key]
        node, step = self._reader, step_of(form)
        place = node.inputs.index(name) if node is not None and name in node.inputs else 1
        kind = Kind.BIAS if place == 2 else Kind.WEIGHTS
        own = effective(self.setting, node.name if node is not None else "", kind)
        codes = parameter_codes(self.graph.constants[name], form, own, name).reshape(shape)
        made = self.fresh(f"{name}:value")
        self._parameters[key] = made
        if step.bits > 16:
            stored = self._array(f"{name}:codes", codes.astype(np.int32))
            self._dequantize(step, stored, made)
            return made
        values = step.values(codes, rank=len(shape)).astype(np.float32)
        source = self._array(name, values, exact=name not in self.initializers)
        self.round(step, source, made, self.fresh(codes_name(name)))
        return made

    def round(self, step: Step, source: str, made: str, codes: str) -> None:
        """Write the pair that rounds `source` to codes and gives them back as real values."""
        if step.bits > 16:
            raise UnsupportedError(
                f"tensor '{made}' has {step.bits} bits; ONNX rounds to 16 at most",
                hint="use 16 bits or fewer for activations",
            )
        if step.bits not in (8, 16) or step.narrow:
            source = self._clipped(step, source, made)
        scale = self._array(f"{made}:scale", step.scale_array)
        zero = self._array(f"{made}:zero", step.zero_array)
        self._pair_node("QuantizeLinear", step, [source, scale, zero], codes)
        self._pair_node("DequantizeLinear", step, [codes, scale, zero], made)

    def _clipped(self, step: Step, source: str, made: str) -> str:
        """Limit values to a range narrower than that of the codes' storage."""
        low, high = step.limits()
        bounds = [self._array(f"{made}:{word}", np.float32(value))
                  for word, value in (("low", low), ("high", high))]  # fmt: skip
        clipped = self.fresh(f"{made}:clipped")
        self.nodes.append(helper.make_node("Clip", [source, *bounds], [clipped], name=clipped))
        return clipped

    def _dequantize(self, step: Step, source: str, made: str) -> None:
        """Write codes too wide for QuantizeLinear as integers."""
        scale = self._array(f"{made}:scale", step.scale_array)
        zero = self._array(f"{made}:zero", np.zeros(np.shape(step.zero_array), np.int32))
        self._pair_node("DequantizeLinear", step, [source, scale, zero], made)

    def _pair_node(self, kind: str, step: Step, given: list[str], made: str) -> None:
        axis: dict[str, Any] = {"axis": step.axis} if step.axis is not None else {}
        name = self.fresh(f"{made}:{kind}")
        self.nodes.append(helper.make_node(kind, given, [made], name=name, **axis))

    def _array(self, wanted: str, value: npt.ArrayLike, *, exact: bool = False) -> str:
        name = wanted if exact else self.fresh(wanted)
        self.initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name


def _opset(formats: NetworkFormats, setting: NetworkSetting) -> int:
    wide = any(form is not None and 8 < form.bits <= 16
               for block in (formats.params, formats.outputs, formats.inputs)
               for form in block.values())  # fmt: skip
    asked = setting.onnx_opset_version
    least = WIDE if wide else OLDEST_OPSET
    if asked == -1:
        return max(OPSET, least)
    if asked < least:
        raise UnsupportedError(
            f"onnx_opset_version is {asked}; " + ("16-bit codes exist" if wide else "QDQ needs")
            + f" from {least} on", hint=f"set it to {least}, or to -1",
        )  # fmt: skip
    if asked > newest_opset():
        raise UnsupportedError(
            f"onnx_opset_version is {asked}; the installed onnx knows {newest_opset()} at most",
            hint="set it to -1",
        )
    return asked


def _renamed(graph: Graph, formats: NetworkFormats) -> Graph:
    """Return the graph with the names that layers read and make in the file."""
    rounded = {name for name, form in formats.outputs.items() if form is not None}
    made = {name: raw_name(name) for node in graph.nodes for name in node.outputs
            if name in rounded}  # fmt: skip
    read = {name: input_value_name(name) for name in graph.inputs if name in rounded}
    nodes = tuple(
        replace(node, inputs=tuple(read.get(name, name) for name in node.inputs),
                outputs=tuple(made.get(name, name) for name in node.outputs))
        for node in graph.nodes
    )  # fmt: skip
    shapes = dict(graph.shapes)
    for name, shape in graph.shapes.items():
        for other in (made.get(name), read.get(name), codes_name(name)):
            if other is not None:
                shapes[other] = shape
    constants: Mapping[str, FloatConstant] = graph.constants
    return Graph(graph.name, graph.inputs, graph.outputs, nodes, frozen_mapping(shapes), constants)
