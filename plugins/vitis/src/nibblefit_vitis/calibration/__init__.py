"""Calibration: from data to formats, with the original's statistics or with one pass."""

from __future__ import annotations

from nibblefit_vitis.calibration.calibrate import calibrate
from nibblefit_vitis.calibration.result import Calibrated

__all__ = ["Calibrated", "calibrate"]
