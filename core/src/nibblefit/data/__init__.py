"""Data sets: readers, splits, scaling and augmentation. See `nibblefit.data.source`."""

from __future__ import annotations

from nibblefit.data.catalog import make_data
from nibblefit.data.source import DataSource, Samples, Split

__all__ = ["DataSource", "Samples", "Split", "make_data"]
