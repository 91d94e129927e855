"""Thresholds are measured on the calibration data of the recipe."""

from __future__ import annotations

from types import SimpleNamespace

from nibblefit.recipe import QuantizeSection
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.qat.start import Starter


def test_the_start_of_quantized_training_measures_calibration_data() -> None:
    """Not the training samples, which are what there is without any."""
    run = SimpleNamespace(
        options=MaximOptions(), part="MAX78000", calibration_data="pictures", data="digits",
        recipe=SimpleNamespace(quantize=QuantizeSection(calibration_samples=7)),
    )  # fmt: skip
    starter = Starter.of(run)  # type: ignore[arg-type]
    assert (starter.data, starter.samples) == ("pictures", 7)
