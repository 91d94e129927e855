"""Automatic fusing: a float graph of plain layers becomes hardware layers."""
