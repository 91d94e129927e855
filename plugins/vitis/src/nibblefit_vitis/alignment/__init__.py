"""Formats moved to where the DPU's shifts can reach; every move is reported."""

from __future__ import annotations

from nibblefit_vitis.alignment.align import align
from nibblefit_vitis.alignment.positions import Change

__all__ = ["Change", "align"]
