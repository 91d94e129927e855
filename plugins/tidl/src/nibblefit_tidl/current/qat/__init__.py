"""Quantization-aware training: the recommended recipe for every mode of the current generation."""

from __future__ import annotations
