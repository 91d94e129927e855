"""Calibration of whole networks: refusals and awkward data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.vitis.calibration.networks import branches, floats, images, powers

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.formats import FixPosition
from nibblefit_vitis.settings import Kind, NetworkSetting, Statistic
from nibblefit_vitis.simulation import fake_quantized

EACH = pytest.mark.parametrize(
    "setting", [powers(), NetworkSetting(), NetworkSetting(parity=True)],
    ids=["pooled", "modal", "parity"],
)  # fmt: skip


@EACH
@pytest.mark.parametrize("batches", [[], [images(0)]])
def test_no_data_is_refused(setting: NetworkSetting, batches: list[np.ndarray]) -> None:  # type: ignore[type-arg]
    """An empty calibration set ends in one clear line."""
    with pytest.raises(InputError, match="there is no calibration data"):
        calibrate(branches(), setting, batches)


@pytest.mark.parametrize("setting", [powers(), NetworkSetting()])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_is_no_number_is_refused(setting: NetworkSetting, value: float) -> None:
    """The first tensor that holds it is named."""
    samples = images(4)
    samples[2, 0, 3, 3] = value
    with pytest.raises(InputError, match=r"tensor 'x'.*infinite or not a number"):
        calibrate(branches(), setting, [samples])


def test_parity_skips_such_batches_and_says_so() -> None:
    """As in the original, the other batches decide; the note names each tensor."""
    good, bad = images(4), images(4, seed=1)
    bad[0, 0, 0, 0] = np.nan
    setting = NetworkSetting(parity=True, include_bias_corr=False)
    found = calibrate(branches(), setting, [good, bad])
    alone = calibrate(branches(), setting, [good])
    assert found.formats.outputs == alone.formats.outputs
    assert any("tensor 'x': a batch" in note for note in found.notes)


@EACH
def test_all_zero_data_gives_formats(setting: NetworkSetting) -> None:
    """Zero images have the stored position of an all-zero tensor."""
    found = calibrate(branches(), setting, [np.zeros((4, 3, 16, 16), np.float32)])
    assert found.formats.outputs["x"] == FixPosition(8, 12)


def test_samples_of_another_shape_are_refused() -> None:
    """The text says what was given and expected."""
    with pytest.raises(InputError, match=r"input 'x' has shape \(2, 3, 8, 8\); expected"):
        calibrate(branches(), powers(), [np.zeros((2, 3, 8, 8), np.float32)])


def test_several_inputs_are_refused() -> None:
    """Calibration feeds one input."""
    graph = Graph(
        "two", ("a", "b"), ("y",), (Node("y", Op.ADD, ("a", "b"), ("y",)),),
        frozen_mapping({"a": (1,), "b": (1,), "y": (1,)}), frozen_mapping(),
    )  # fmt: skip
    with pytest.raises(UnsupportedError, match="'two' has 2 inputs"):
        calibrate(graph, powers(), [images(1)])


def test_a_32_bit_bias_keeps_its_values() -> None:
    """Biases of 32 bits are as good as exact, the largest one included."""
    graph, samples = branches(), images(8)
    setting = floats(kinds={Kind.BIAS: {"bit_width": 32}}, include_bias_corr=False)
    found = calibrate(graph, setting, [samples])
    exact = fake_quantized(graph, replace(found.formats, params=frozen_mapping({
        name: fmt for name, fmt in found.formats.params.items() if not name.endswith("bias")
    })), setting)  # fmt: skip
    rounded = fake_quantized(graph, found.formats, setting)
    step = found.formats.outputs["head"].scale[0]  # type: ignore[union-attr]
    assert float((exact(samples)[0] - rounded(samples)[0]).abs().max()) <= step * 1.01


@pytest.mark.parametrize("statistic", Statistic)
def test_every_statistic_calibrates(statistic: Statistic) -> None:
    """Positions and scales with each statistic, in both modes of arithmetic."""
    for setting in (powers(statistic), floats(statistic=statistic)):
        found = calibrate(branches(), setting, [images(4), images(4, seed=2)])
        assert all(fmt is not None for name, fmt in found.formats.outputs.items()
                   if name not in ("left", "right"))  # fmt: skip


def test_progress_counts_all_samples() -> None:
    """Whatever the chunks, the counts add up."""
    counts: list[int] = []
    calibrate(branches(), powers(), [images(11)], on_batch=counts.append)
    assert sum(counts) == 11


def test_inputs_of_another_width_than_weights_have_formats_of_their_own() -> None:
    """With parity at every layer, as in the original; else only where it changes something."""
    four = floats(kinds={Kind.WEIGHTS: {"bit_width": 4}}, include_bias_corr=False)
    assert calibrate(branches(), four, [images(4)]).formats.inputs == {}
    found = calibrate(branches(), replace(four, parity=True), [images(4)])
    assert set(found.formats.inputs) == {"stem", "deep", "left", "right", "head"}
