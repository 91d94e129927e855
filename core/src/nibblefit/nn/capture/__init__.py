"""Capture: a plain torch module becomes the canonical graph, by watching one forward pass."""

from __future__ import annotations

from nibblefit.nn.capture.entry import capture

__all__ = ["capture"]
