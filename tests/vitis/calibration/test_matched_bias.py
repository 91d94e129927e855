"""Bias correction in closed form: means of outputs become those of the float network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.vitis.calibration.networks import branches, floats, images, powers

from nibblefit.errors import InputError
from nibblefit.ir.graph import Node, frozen_mapping
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.execute import outputs_of
from nibblefit.nn.network import Network
from nibblefit_vitis.calibration import calibrate
from nibblefit_vitis.calibration.matched_bias import correct_biases
from nibblefit_vitis.calibration.mean_bias import mean_output
from nibblefit_vitis.formats import FixPosition, NetworkFormats
from nibblefit_vitis.settings import Kind, NetworkSetting
from nibblefit_vitis.simulation import fake_quantized

GEOMETRIES: list[tuple[Op, tuple[int, ...], dict[str, Any]]] = [
    (Op.CONV, (8, 4, 3, 3), {"strides": (2, 1), "pads": (1, 0, 2, 1), "dilations": (1, 2)}),
    (Op.CONV, (8, 1, 3, 3), {"pads": (1, 1, 1, 1), "groups": 4}),
    (Op.CONV, (8, 2, 5), {"strides": (2,), "pads": (1, 2), "groups": 2}),
    (Op.CONV_TRANSPOSE, (4, 3, 3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)}),
]


@pytest.mark.parametrize(("op", "shape", "attributes"), GEOMETRIES)
def test_mean_output_is_the_mean_of_the_layers_outputs(
    op: Op, shape: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    """From the mean sample alone: strides, uneven pads, dilation, groups, one axis."""
    random = torch.Generator().manual_seed(0)
    weights = torch.randn(shape, generator=random, dtype=torch.float64)
    x = torch.randn(6, 4, *[11] * (len(shape) - 2), generator=random, dtype=torch.float64)
    node = Node("a", op, ("x", "w"), ("a",), frozen_mapping(attributes))
    (outputs,) = outputs_of(node, (x, weights))
    wanted = outputs.transpose(0, 1).flatten(1).mean(1)
    torch.testing.assert_close(mean_output(node, x.mean(0), weights), wanted)


@pytest.mark.parametrize("setting", [powers(), floats(), NetworkSetting()])
def test_means_of_every_layer_match_but_for_the_biases_own_rounding(
    setting: NetworkSetting,
) -> None:
    """With wide biases, what every layer returns has the float network's mean per channel."""
    wide = {
        kind: replace(own, bit_width=16) if kind is Kind.BIAS else own
        for kind, own in setting.base.items()
    }
    setting = replace(setting, base=wide)
    graph, samples = branches(), images(24)
    found = calibrate(graph, setting, [samples[:16], samples[16:]])
    simulation = fake_quantized(graph, found.formats, setting, corrections=found.corrections)
    seen: dict[str, torch.Tensor] = {}

    def watch(node: Node, inputs: Any, output: torch.Tensor) -> None:
        if node.op in WEIGHTED and node.output not in found.formats.outputs:
            seen[node.output] = output.clone()

    simulation.watched(watch, samples)
    with torch.inference_mode():
        exact = Network(graph).forward_all(torch.from_numpy(samples))
    assert len(seen) == 2
    for name, values in seen.items():
        missed = (values - exact[name]).mean((0, 2, 3)).abs().max()
        assert float(missed) < 2e-4 * float(exact[name].abs().max()), name


def test_correction_raises_the_signal_to_noise_ratio() -> None:
    """Also on samples that were not used for it."""
    graph, samples, fresh = branches(), images(32), images(32, seed=5)
    ratios = []
    for corrected in (False, True):
        setting = powers(include_bias_corr=corrected)
        found = calibrate(graph, setting, [samples])
        simulation = fake_quantized(graph, found.formats, setting, corrections=found.corrections)
        with torch.inference_mode():
            (exact,) = Network(graph)(torch.from_numpy(fresh))
        noise = (simulation(fresh)[0] - exact).square().sum()
        ratios.append(float(10 * torch.log10(exact.square().sum() / noise)))
    assert ratios[1] > ratios[0] + 0.5


def test_given_formats_are_corrected_as_calibration_corrects_them() -> None:
    """Corrections for calibrated formats, from data read again, are those of calibration."""
    graph, samples, setting = branches(), images(20), powers()
    found = calibrate(graph, setting, [samples])
    again = correct_biases(graph, found.formats, setting, [samples[:3], samples[3:]])
    for name, values in found.corrections.items():
        np.testing.assert_array_equal(again.corrections[name], values)
        assert again.formats[name] == found.formats.params[name]


def test_layers_with_inputs_in_their_own_width_are_corrected_too() -> None:
    """A layer that reads 6 bits of an 8-bit tensor is corrected for what it reads."""
    base = dict(powers().base)
    base[Kind.INPUT] = replace(base[Kind.INPUT], bit_width=6)
    setting = powers(layers={"head": base})
    found = calibrate(branches(), setting, [images(16)])
    assert found.formats.inputs == {"head": found.formats.inputs["head"]}
    head = found.formats.inputs["head"]
    assert isinstance(head, FixPosition)
    assert head.bits == 6
    assert np.isfinite(found.corrections["head.bias"]).all()


def test_correction_without_samples_is_refused() -> None:
    """The text says what to set."""
    with pytest.raises(InputError, match="no calibration data"):
        correct_biases(branches(), NetworkFormats(), powers(), [])
