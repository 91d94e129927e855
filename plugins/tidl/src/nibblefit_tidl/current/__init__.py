"""Target `tidl`: C7x with matrix accelerator, calibrated offline."""

from __future__ import annotations
