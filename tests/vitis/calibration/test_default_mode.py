"""The default mode beside the original's recorded calibration of the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.vitis.calibration.networks import powers
from tests.vitis.calibration.recorded import Recording, load

from nibblefit_vitis.calibration import Calibrated, calibrate
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation import fake_quantized


def ratio(recording: Recording, found: Calibrated, setting: NetworkSetting) -> float:
    """Return the signal-to-noise ratio of the outputs in decibels."""
    simulation = fake_quantized(recording.graph, found.formats, setting,
                                corrections=found.corrections)  # fmt: skip
    (outputs,) = simulation(recording.inputs)
    exact = recording.outputs["float_out"]
    return float(10 * np.log10((exact**2).sum() / ((exact - outputs.numpy()) ** 2).sum()))


def test_positions_mostly_equal_the_originals(shared: Path) -> None:
    """One pass of the float network finds at least 95 % of the positions, at no more noise."""
    recording = load(shared, "dpu_nocle_nobc")
    setting = powers(include_bias_corr=False)
    found = calibrate(recording.graph, setting, recording.batches)
    formats = {**found.formats.params, **found.formats.outputs}
    equal = [
        isinstance(fmt := formats[name], FixPosition) and fmt.position == position
        for name, position in recording.positions.items()
    ]
    assert sum(equal) >= 0.95 * len(equal)
    exact, theirs = recording.outputs["float_out"], recording.outputs["quant_out"]
    recorded = 10 * np.log10((exact**2).sum() / ((exact - theirs) ** 2).sum())
    assert ratio(recording, found, setting) > recorded


def test_closed_form_correction_beats_the_iterative_one(shared: Path) -> None:
    """Without equalization, as recorded: more than 2 dB above the original with its correction."""
    recording = load(shared, "dpu_nocle_bc")
    setting = powers()
    found = calibrate(recording.graph, setting, recording.batches)
    exact, theirs = recording.outputs["float_out"], recording.outputs["quant_out"]
    recorded = 10 * np.log10((exact**2).sum() / ((exact - theirs) ** 2).sum())
    assert ratio(recording, found, setting) > recorded + 2.0
