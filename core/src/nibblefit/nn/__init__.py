"""Float networks: torch modules and ONNX files in, the canonical graph, a trainable module out."""
