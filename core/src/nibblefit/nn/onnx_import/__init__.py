"""ONNX files, opset 11 to current, become the canonical graph."""

from __future__ import annotations

from nibblefit.nn.onnx_import.entry import import_onnx

__all__ = ["import_onnx"]
