"""Integer graphs as QDQ ONNX, and back: for targets whose runtimes read it."""
