"""From calibrated formats to a graph of integers."""

from __future__ import annotations
