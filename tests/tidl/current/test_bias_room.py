"""Biases too large for MMAv1: who makes room, and what is said about it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.tidl.current.executing import decibels, quantized
from tests.tidl.networks import Net

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_tidl.current.numerics import bias_rule, largest_bias
from nibblefit_tidl.devices import AM68A, TDA4VM


def _large_bias(behind: str = "relu") -> Graph:
    """Return two convolutions of which the second one's bias exceeds its products by far."""
    net = Net((2, 6, 6), seed=1)
    first = net.conv(net.x, 4, "one")
    if behind == "relu":
        first = net.relu(first)
    return net.finish(net.conv(first, 3, "two", bias=60.0))


def test_the_input_of_the_layer_loses_half_of_the_missing_bits() -> None:
    """Rounded up; the weights give the rest, and one line says so."""
    model = _large_bias()
    found = quantized(model, "tda4vm", quantization_scale_type=1, accuracy_level=2)
    wide = quantized(model, "am68a", quantization_scale_type=1, accuracy_level=2)
    (note,) = found.notes
    assert "'two'" in note
    assert "'one.relu'" in note
    missing = int(note.split("bias is ")[1].split(" bit")[0])
    change = {
        name: np.log2(found.graph.tensors[name].format.scale.values()[0]
                      / wide.graph.tensors[name].format.scale.values()[0])
        for name in ("one.relu", "two.weight")
    }  # fmt: skip
    assert change == {"one.relu": -(-missing // 2), "two.weight": missing // 2}
    assert not wide.notes
    assert decibels(model, found.graph)["two"] > 20


def test_given_ranges_are_kept() -> None:
    """With calibration flag 64 the weights alone make room."""
    model = _large_bias()
    found = quantized(model, "tda4vm", quantization_scale_type=1, accuracy_level=0)
    wide = quantized(model, "am68a", quantization_scale_type=1, accuracy_level=0)
    assert found.graph.tensors["one.relu"].format == wide.graph.tensors["one.relu"].format
    (note,) = found.notes
    assert "its weights lose" in note


def test_a_network_input_is_never_changed() -> None:
    """The first layer's weights make room for its bias."""
    net = Net((2, 6, 6))
    model = net.finish(net.conv(net.x, 3, "one", bias=500.0))
    found = quantized(model, "tda4vm", quantization_scale_type=0)
    (note,) = found.notes
    assert "its weights lose" in note


@pytest.mark.parametrize("narrow", ["word", "product"])
def test_both_readings_of_narrow_biases_run(narrow: str) -> None:
    """A product leaves less resolution than a word, and both stay within the largest bias."""
    model = _large_bias()
    found = quantized(model, "tda4vm", quantization_scale_type=0, narrow_bias=narrow)
    fmt = found.graph.tensors["two.bias"].format
    assert fmt.bits == (16 if narrow == "word" else 8)
    node = found.graph.node("two")
    assert node.op is Op.CONV
    assert decibels(model, found.graph)["two"] > 20


def test_limits_are_those_of_the_accelerator() -> None:
    """127 · 256 and 127 · 128 in 8-bit layers of MMAv1, 32 bits on MMAv2."""
    assert largest_bias(TDA4VM, 8, 32, signed=False) == 127 * 256
    assert largest_bias(TDA4VM, 8, 32, signed=True) == 127 * 128
    assert largest_bias(AM68A, 8, 32, signed=True) == 2.0**30
    assert bias_rule(AM68A, 8).bits == 32
    assert bias_rule(TDA4VM, 16, "product").factors == (32768, 32768)
