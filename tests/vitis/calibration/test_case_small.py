"""Parity mode reproduces the original's recorded calibrations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.vitis.calibration.recorded import CASES, Recording, constant_name, load

from nibblefit_vitis.calibration import Calibrated, calibrate
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.grouping import parameters
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.simulation import fake_quantized
from nibblefit_vitis.simulation.effective import effective
from nibblefit_vitis.simulation.quantizer import quantizer

Case = tuple[Recording, NetworkSetting, Calibrated]


@pytest.fixture(scope="module", params=CASES)
def case(shared: Path, request: pytest.FixtureRequest) -> Case:
    """Return a recording with our calibration of it."""
    recording = load(shared, request.param)
    setting = NetworkSetting(parity=True, include_bias_corr=bool(recording.corrections))
    found = calibrate(recording.graph, setting, recording.batches)
    return recording, setting, found


def test_every_fix_position_is_equal(case: Case) -> None:
    """Parameters, inputs and outputs of groups have the recorded positions, and no others."""
    recording, _, found = case
    formats = {**found.formats.params, **found.formats.outputs}
    positions = {
        name: fmt.position for name, fmt in formats.items() if isinstance(fmt, FixPosition)
    }
    assert positions == recording.positions
    assert found.formats.outputs["b1.Conv"] is None


def test_positions_of_every_batch_are_equal(case: Case) -> None:
    """Each of the four batches gives the recorded position for each tensor."""
    recording, _, found = case
    history = {name: list(positions) for name, positions in found.formats.history.items()}
    assert history == recording.history


def test_bias_corrections_are_equal(case: Case) -> None:
    """Corrections agree with the recorded ones up to the last bits of float32 sums."""
    recording, _, found = case
    assert set(found.corrections) == set(recording.corrections)
    for name, wanted in recording.corrections.items():
        np.testing.assert_allclose(found.corrections[name], wanted, rtol=0, atol=2e-7)


def test_outputs_are_within_one_step(case: Case) -> None:
    """Rounded outputs equal the recorded ones but for sums whose last float32 bits differ."""
    recording, setting, found = case
    simulation = fake_quantized(recording.graph, found.formats, setting,
                                corrections=found.corrections)  # fmt: skip
    (outputs,) = simulation(recording.inputs)
    steps = (outputs.numpy() - recording.outputs["quant_out"]) * 2.0 ** recording.positions[
        "fc.Gemm"
    ]
    differing = int(np.count_nonzero(steps))
    explained = (
        f"{differing} of {steps.size} outputs differ from the recording by {np.abs(steps).max()} "
        "steps; float32 convolutions of another machine may move a sum across a rounding boundary "
        "by one step, in few outputs"
    )
    assert np.abs(steps).max() <= 1, explained
    assert differing <= steps.size // 100, explained


@pytest.mark.parametrize("name", ["dpu_nocle_nobc", "dpu_default"])
def test_quantized_parameters_are_equal(shared: Path, name: str) -> None:
    """Every int8 code of weights and biases is the recorded one."""
    recording = load(shared, name)
    setting = NetworkSetting(parity=True, include_bias_corr=bool(recording.corrections))
    found = calibrate(recording.graph, setting, recording.batches)
    stored = np.load(shared / "vendor/vitis/case_small" / name / "quantized_params_int8.npz")
    wanted = {constant_name(key): stored[key] for key in stored}
    compared = 0
    for parameter in parameters(recording.graph):
        fmt = found.formats.params[parameter.name]
        assert fmt is not None
        values = recording.graph.constants[parameter.name].astype(np.float64)
        values = values - found.corrections.get(parameter.name, 0.0)
        rounds = quantizer(fmt, effective(setting, parameter.node.name, parameter.kind))
        codes = rounds.codes(values.astype(np.float32))
        np.testing.assert_array_equal(codes, wanted[parameter.name], err_msg=parameter.name)
        compared += codes.size
    assert compared == sum(codes.size for codes in wanted.values())


def test_float64_simulation_agrees_with_float32(shared: Path) -> None:
    """Sums of this network are exact in float32, so the wider type changes nothing."""
    recording = load(shared, "dpu_nocle_nobc")
    setting = NetworkSetting(parity=True, include_bias_corr=False)
    found = calibrate(recording.graph, setting, recording.batches)
    narrow = fake_quantized(recording.graph, found.formats, setting)
    wide = fake_quantized(recording.graph, found.formats, setting, dtype=torch.float64)
    differing = (narrow(recording.inputs)[0].double() - wide(recording.inputs)[0]).abs() * 2.0**7
    assert float(differing.max()) <= 1.0
    assert int(differing.count_nonzero()) <= differing.numel() // 50
