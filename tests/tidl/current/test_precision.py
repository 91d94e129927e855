"""Mixed precision: requests by name, how they spread, and the automatic choice."""

from __future__ import annotations

import pytest
from tests.tidl.current.executing import decibels, quantized
from tests.tidl.networks import Net, classifier

from nibblefit.errors import RecipeError
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit.quantization.units import Unit, units
from nibblefit_tidl.current.automatic import latency, unit_times
from nibblefit_tidl.current.numerics import numerics_of
from nibblefit_tidl.current.precision import mixed, uniform
from nibblefit_tidl.devices import AM68A


def _parts(graph: Graph) -> tuple[Unit, ...]:
    return units(fold(graph), numerics_of(AM68A, 4))


def test_a_convolution_changes_width_by_itself() -> None:
    """Its weights follow; what reads it does not."""
    model = classifier()
    found = mixed(fold(model), _parts(model), ["b"])
    assert dict(found.tensors) == {"b": 16}
    assert dict(found.weights) == {"b": 16}
    assert (found.of_tensor("a.relu"), found.of_weights("a")) == (8, 8)


def test_layers_and_inner_tensors_are_names_too() -> None:
    """The convolution, the tensor before its rectifier and the one behind it mean one layer."""
    model = classifier()
    asked = [mixed(fold(model), _parts(model), [n]).tensors for n in ("stem", "stem.norm.relu")]
    assert dict(asked[0]) == dict(asked[1]) == {"stem.norm.relu": 16, "pool": 16}


def test_a_concatenation_pulls_its_inputs_along() -> None:
    """They are named in a note."""
    net = Net((2, 4, 4))
    a, b = net.conv(net.x, 2, "a"), net.conv(net.x, 2, "b")
    model = net.finish(net.conv(net.add(Op.CONCAT, [a, b], "cat", axis=1), 2, "c"))
    found = mixed(fold(model), _parts(model), ["cat"])
    assert dict(found.tensors) == {"a": 16, "b": 16, "cat": 16}
    assert dict(found.weights) == {"a": 16, "b": 16}
    (note,) = found.notes
    assert "'a', 'b'" in note


def test_a_linear_layer_hands_its_width_on() -> None:
    """Asked for, it pulls the average before it, which may change unless it keeps its format."""
    model = classifier()
    kept = mixed(fold(model), _parts(model), ["head"])
    assert set(kept.tensors) == {"join.relu", "mean", "head", "head.flat"}
    parts = units(fold(model), numerics_of(AM68A, 0))
    assert set(mixed(fold(model), parts, ["head"]).tensors) == {"mean", "head", "head.flat"}


def test_weights_alone() -> None:
    """params_16bit_names touches no tensor; a layer without weights is refused."""
    model = classifier()
    found = mixed(fold(model), _parts(model), [], ["a.relu"])
    assert (dict(found.tensors), dict(found.weights)) == ({}, {"a": 16})
    with pytest.raises(RecipeError, match="'pool', which has no weights"):
        mixed(fold(model), _parts(model), [], ["pool"])


def test_softmax_has_no_width() -> None:
    """16 bits on an output that is floating point do nothing, which is said."""
    net = Net((2, 4, 4))
    model = net.finish(net.add(Op.SOFTMAX, [net.linear(net.x, 3, "head")], "soft", axis=1))
    found = mixed(fold(model), _parts(model), ["soft"])
    assert dict(found.tensors) == {}
    assert "do nothing" in found.notes[0]


def test_unknown_names_are_refused_together() -> None:
    """Each with the nearest name."""
    model = classifier()
    with pytest.raises(RecipeError) as caught:
        mixed(fold(model), _parts(model), ["haed"], ["qqqqqq"])
    assert len(caught.value.problems) == 2
    assert "did you mean 'head'" in caught.value.problems[0]


@pytest.mark.parametrize(("part", "kind"), [("tda4vm", 0), ("tda4vm", 1), ("am68a", 4)])
def test_wide_layers_are_more_precise(part: str, kind: int) -> None:
    """First and last convolution in 16 bits raise the signal, bit-exactly executed."""
    model = classifier()
    narrow = quantized(model, part, quantization_scale_type=kind)
    wide = quantized(model, part, quantization_scale_type=kind,
                     output_feature_16bit_names=("stem", "b"))  # fmt: skip
    assert wide.graph.tensors["stem.norm.relu"].format.bits == 16
    assert wide.graph.tensors["a.relu"].format.bits == 8
    assert decibels(model, wide.graph)["b"] > decibels(model, narrow.graph)["b"]


def test_the_automatic_choice_stays_below_its_factor() -> None:
    """Some layers are widened, the output gains, and the latency keeps the limit."""
    model = classifier()
    narrow = quantized(model, accuracy_level=0)
    found = quantized(model, accuracy_level=0, mixed_precision_factor=1.6)
    parts = _parts(model)
    times = unit_times(fold(model), parts)
    factor = latency(parts, times, found.precision) / latency(parts, times, uniform(8))
    assert 1.0 < factor <= 1.6
    assert any("automatic mixed precision" in note for note in found.notes)
    assert decibels(model, found.graph)["head"] > decibels(model, narrow.graph)["head"]


def _upsampler() -> Graph:
    """Return convolution, transposed convolution, convolution."""
    net = Net((3, 6, 6))
    weight = net.constant("up.weight", net.random.normal(size=(6, 4, 2, 2)) * 0.4)
    up = net.builder.add(
        Op.CONV_TRANSPOSE, [net.conv(net.x, 6, "a"), weight], "up", strides=(2, 2), pads=(0,) * 4,
        dilations=(1, 1), groups=1, output_padding=(0, 0),
    )  # fmt: skip
    return net.finish(net.conv(net.relu(up), 3, "c"))


@pytest.mark.parametrize("part", ["am62a", "am67a"])
@pytest.mark.parametrize(
    "options",
    [{"tensor_bits": 16}, {"output_feature_16bit_names": ("up",)},
     {"output_feature_16bit_names": ("a",)}, {"params_16bit_names": ("up",)}],
)  # fmt: skip
def test_some_devices_have_no_wide_transposed_convolution(
    part: str, options: dict[str, object]
) -> None:
    """Neither its values, nor its weights, nor what it reads; other devices have it."""
    with pytest.raises(RecipeError, match=f"{part} has no transposed convolution .* 'up'"):
        quantized(_upsampler(), part, **options)
    assert quantized(_upsampler(), "am68a", **options).graph.outputs == ("c",)


def test_the_automatic_choice_leaves_transposed_convolutions_narrow() -> None:
    """Where the device lacks them; others of the network may become wide."""
    found = quantized(_upsampler(), "am62a", accuracy_level=0, mixed_precision_factor=3.0)
    assert {"a", "up", "up.relu"}.isdisjoint(found.precision.tensors)
    assert "up" not in found.precision.weights
    assert set(found.precision.tensors) == {"c"}
