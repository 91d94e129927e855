"""Measurements: results on real data, and speed beside peers."""
