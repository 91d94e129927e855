"""The float network as ONNX with fixed shapes, as TI's current tools want it."""

from __future__ import annotations

import onnx

from nibblefit.ir.graph import Graph
from nibblefit.nn.onnx_export.entry import to_onnx

#: Operator set. TI's tools 11.0 read up to 19; 17 is what their own exporter writes.
OPSET = 17


def fixed_onnx(network: Graph, *, opset: int = OPSET, batch: int = 1) -> onnx.ModelProto:
    """Return the ONNX model of a float graph with a fixed batch and every shape stated.

    A shape that is not stated ends in TI's "DIM Error … Dim is -1".
    """
    model = to_onnx(network, opset=opset)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(
        model, strict_mode=True, data_prop=True
    )
    return inferred


def onnx_bytes(model: onnx.ModelProto) -> bytes:
    """Return the file of a model; equal models give equal bytes."""
    raw: bytes = model.SerializeToString(deterministic=True)
    return raw
