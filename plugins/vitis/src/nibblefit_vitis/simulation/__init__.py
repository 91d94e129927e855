"""The quantized network in floating point: every rounding at its place, exact products between."""

from __future__ import annotations

from nibblefit_vitis.simulation.network import Simulation, fake_quantized

__all__ = ["Simulation", "fake_quantized"]
