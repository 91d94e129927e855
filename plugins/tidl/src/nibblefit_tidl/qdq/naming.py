"""Names of the tensors of a written QDQ model."""

from __future__ import annotations

from nibblefit.ir.quantized import QuantizedGraph


def quantized_name(tensor: str) -> str:
    """Return the name of a tensor's codes, the output of its QuantizeLinear."""
    return f"{tensor}_quantized"


def value_name(graph: QuantizedGraph, tensor: str) -> str:
    """Return the name of a tensor's real values, the output of its DequantizeLinear.

    It is the tensor's own name, but for network inputs, whose name belongs to the input.
    """
    return f"{tensor}_dequantized" if tensor in graph.inputs else tensor


def raw_name(tensor: str) -> str:
    """Return the name of what a layer computes before it is quantized."""
    return f"{tensor}_float"
