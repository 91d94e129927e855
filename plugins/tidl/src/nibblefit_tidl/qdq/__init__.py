"""QDQ ONNX: quantized networks as float networks with QuantizeLinear and DequantizeLinear."""

from __future__ import annotations
