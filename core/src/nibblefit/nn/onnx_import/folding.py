"""Evaluate ONNX nodes whose inputs are all known: shapes and prepared weights."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nibblefit.nn.onnx_import.site import Array
from nibblefit.nn.problems import Refused

#: Pure operators that exporters leave behind around shapes and weights.
_FOLDABLE = frozenset({
    "Abs", "Add", "And", "BitShift", "Cast", "Ceil", "Clip", "Concat", "ConstantOfShape", "Div",
    "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherND", "Greater", "Identity",
    "Less", "Log", "MatMul", "Max", "Min", "Mod", "Mul", "Neg", "NonZero", "Not", "Or", "Pad",
    "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "Relu", "Reshape", "ScatterND", "Shape", "Sigmoid", "Size", "Slice", "Split",
    "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where",
})  # fmt: skip
#: Largest constant a file may have us compute, in values; damaged files ask for absurd ones.
LARGEST = 1 << 26


def fold(node: onnx.NodeProto, arrays: Sequence[Array | None], opset: int) -> Sequence[Array]:
    """Return the results of a node whose inputs are constants."""
    if node.op_type == "Constant" and node.domain in {"", "ai.onnx"}:
        return [_constant(node)]
    if node.op_type not in _FOLDABLE or node.domain not in {"", "ai.onnx"}:
        raise Refused("it does not depend on the network's input and is not folded",
                      "simplify the file, for example with onnxsim")  # fmt: skip
    _refuse_large(node, arrays)
    inputs = {name: array for name, array in zip(node.input, arrays) if name}
    try:
        found = ReferenceEvaluator(_model(node, inputs, opset)).run(None, dict(inputs))
    except Exception as problem:
        raise Refused(f"it cannot be evaluated: {type(problem).__name__}: {problem}") from problem
    return [np.asarray(value) for value in found]


def _model(node: onnx.NodeProto, inputs: dict[str, Any], opset: int) -> onnx.ModelProto:
    given = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype), np.shape(value)
        )
        for name, value in inputs.items()
    ]
    results = [
        helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
        for name in node.output if name
    ]  # fmt: skip
    graph = helper.make_graph([node], "constant", given, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def _constant(node: onnx.NodeProto) -> Array:
    kinds = {"value_float": np.float32, "value_floats": np.float32,
             "value_int": np.int64, "value_ints": np.int64}  # fmt: skip
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return numpy_helper.to_array(value)
        if attribute.name in kinds:
            return np.array(value, dtype=kinds[attribute.name])
    raise Refused("it holds no number")


def _refuse_large(node: onnx.NodeProto, arrays: Sequence[Array | None]) -> None:
    """Refuse results whose size follows from values, before memory is asked for."""
    known = [a for a in arrays if a is not None]
    match node.op_type:
        case "ConstantOfShape":
            size = prod(int(v) for v in known[0].reshape(-1))
        case "Expand" | "Tile":
            size = known[0].size * prod(max(int(v), 1) for v in known[1].reshape(-1))
        case "Range":
            start, limit, delta = (float(a.reshape(-1)[0]) for a in known)
            size = int(abs((limit - start) / delta)) if delta else 0
        case "Pad":
            size = prod(abs(int(v)) + 1 for v in known[1].reshape(-1)) if len(known) > 1 else 0
        case _:
            size = sum(a.size for a in known)
    if size > LARGEST:
        raise Refused(f"it makes a constant of {size:,} values; at most {LARGEST:,} are computed")
