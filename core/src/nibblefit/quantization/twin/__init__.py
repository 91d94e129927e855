"""The training twin: any quantized graph as an exact, differentiable torch module."""

from nibblefit.quantization.twin.module import Twin

__all__ = ["Twin"]
