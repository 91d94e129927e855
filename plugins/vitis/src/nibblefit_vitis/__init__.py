"""Vitis-AI-style quantization for AMD DPUs: configuration, calibration, inspection, files."""
