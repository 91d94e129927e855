"""Fit neural networks to fixed-point edge chips."""

__version__ = "0.1.0"
