"""What calibration returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import frozen_mapping
from nibblefit_vitis.formats import NetworkFormats


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Formats of a network and corrections of its biases.

    Attributes:
        formats: By names of the graph that was calibrated.
        corrections: What to subtract from a float bias before it is quantized, by the bias's
            name (float bias − corrected bias, as the original stores it); empty where
            `include_bias_corr` is off.
        notes: What the user should know: skipped values, settings that had no effect.
    """

    formats: NetworkFormats
    corrections: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=frozen_mapping)
    notes: tuple[str, ...] = ()
