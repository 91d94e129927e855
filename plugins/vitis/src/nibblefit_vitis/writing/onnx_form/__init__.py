"""The quantized network as standard ONNX with QuantizeLinear and DequantizeLinear (QDQ)."""
