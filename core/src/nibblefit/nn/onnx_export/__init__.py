"""The canonical float graph becomes an ONNX file."""

from __future__ import annotations

from nibblefit.nn.onnx_export.entry import export_onnx, to_onnx

__all__ = ["export_onnx", "to_onnx"]
