"""Quantization-aware training with the accelerator's own rounding and clipping."""
