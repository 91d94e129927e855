"""`export_onnx`: from the canonical graph to a file."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

import nibblefit
from nibblefit.errors import WorkspaceError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export.emitters import EMITTERS
from nibblefit.nn.onnx_export.writer import Writer


def export_onnx(graph: Graph, path: Path | str, *, opset: int = 17, batch: str = "N") -> None:
    """Write a float graph as ONNX; equal graphs give equal bytes.

    Nodes, tensors and constants keep their names, so that importing the file gives the graph
    again, as far as ONNX has an operator for each of its nodes.

    Args:
        graph: The float graph; float64 constants are rounded to float32.
        path: File to write.
        opset: ONNX operator set, 13 or newer.
        batch: Name of the symbolic batch axis.

    Raises:
        UnsupportedError: A node has no form in this opset.
        WorkspaceError: The file cannot be written.
    """
    model = to_onnx(graph, opset=opset, batch=batch)
    try:
        Path(path).write_bytes(model.SerializeToString(deterministic=True))
    except OSError as problem:
        raise WorkspaceError(f"{path} cannot be written: {problem.strerror}") from problem


def to_onnx(graph: Graph, *, opset: int = 17, batch: str = "N") -> onnx.ModelProto:
    """Return the checked ONNX model of a float graph."""
    writer = Writer(graph, opset)
    for node in graph.nodes:
        EMITTERS[node.op](writer, node)
    model = assembled(writer, batch=batch)
    onnx.checker.check_model(model, full_check=True)
    return model


def assembled(
    writer: Writer, *, batch: str | int, producer: str = "nibblefit"
) -> onnx.ModelProto:  # fmt: skip
    """Return the model of everything that was written, not yet checked.

    Args:
        writer: Has written every node of its graph.
        batch: Name of the symbolic batch axis, or its size.
        producer: Said in the file.
    """
    graph = writer.graph
    argmaxes = {node.output for node in graph.nodes if node.op is Op.ARGMAX}
    inputs, outputs = (
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT64 if name in argmaxes else TensorProto.FLOAT,
                [batch, *graph.shapes[name]],
            )
            for name in names
        ]
        for names in (graph.inputs, graph.outputs)
    )  # fmt: skip
    body = helper.make_graph(
        writer.nodes, graph.name or "network", inputs, outputs, list(writer.initializers.values())
    )
    opsets = [helper.make_opsetid("", writer.opset)]
    return helper.make_model(
        body, opset_imports=opsets, producer_name=producer,
        producer_version=nibblefit.__version__,
        ir_version=helper.find_min_ir_version_for(opsets),
    )  # fmt: skip
