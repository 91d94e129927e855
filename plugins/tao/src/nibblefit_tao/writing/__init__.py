"""What TensorRT and its tools read: QDQ ONNX, float ONNX, calibration cache, scales, commands."""
