"""Ranges of tensors for INT8: how they are found, and the files that carry them to TensorRT."""
