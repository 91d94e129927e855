"""Trained networks from ONNX files: quantized by `generic`, engine equal to judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nibblefit.nn.onnx_import import import_onnx
from nibblefit.quantization.networks import quantize_and_measure
from nibblefit.targets.generic_options import GenericOptions, numerics_of

#: Network → input range, from the README beside the files.
RANGES = {"resnet8": (0.0, 255.0), "autoencoder": (-84.9, 14.9)}


@pytest.mark.parametrize("scales", ["power_of_two", "float"])
@pytest.mark.parametrize("name", RANGES)
def test_reference_networks_keep_their_signal(shared: Path, name: str, scales: str) -> None:
    """Every tensor stays above 15 dB, and engine and judge agree on every integer."""
    path = shared / "data" / "mlperf-tiny-onnx" / f"{name}.onnx"
    if not path.exists():
        pytest.skip("the reference networks are not beside this clone")
    model = import_onnx(path)
    lo, hi = RANGES[name]
    shape = (6, *model.shapes[model.inputs[0]])
    data = np.random.default_rng(1).uniform(lo, hi, shape).astype(np.float32)
    result = quantize_and_measure(model, numerics_of(GenericOptions(scales=scales)), data)
    worst = min(result.noise, key=lambda item: item.decibels)
    assert worst.decibels > 15, worst
    assert result.compared == sum(
        6 * int(np.prod(tensor.shape))
        for key, tensor in result.graph.tensors.items()
        if key not in result.graph.constants
    )
