"""Training with quantization in the loop."""
