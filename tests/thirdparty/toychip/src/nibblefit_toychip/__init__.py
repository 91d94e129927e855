"""The toy chip: int8, power-of-two scales, one shift per layer, half-up rounding."""

from nibblefit_toychip.target import ToyChip

TARGET = ToyChip()
__all__ = ["TARGET", "ToyChip"]
