"""Measuring integer networks: accuracy, bit-exactness, signal to noise."""
