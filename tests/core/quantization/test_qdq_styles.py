"""QDQ files in every style hold the integers: with and without real weights and biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.core.quantization.networks import everything, inputs, sequences
from tests.core.targets.test_generic import _without_up

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.qdq.reading import Meaning, read_qdq
from nibblefit.quantization.qdq.topology import representable, with_topology
from nibblefit.quantization.qdq.writing import QdqStyle, qdq_model
from nibblefit.quantization.settings import settings
from nibblefit.targets.generic_options import GenericOptions, numerics_of

DATA = inputs(8, (3, 8, 8))
STYLES = {
    "integers": QdqStyle(),
    "real weights": QdqStyle(float_weights=True),
    "real biases": QdqStyle(float_bias=True),
    "real weights and biases": QdqStyle(float_weights=True, float_bias=True),
}


def _quantized(network: Graph, numerics: Numerics) -> QuantizedGraph:
    stated = representable(network)
    return with_topology(quantize_network(stated, numerics, [DATA], settings()), stated)


def _read(graph: QuantizedGraph, numerics: Numerics, style: QdqStyle, path: Path) -> QuantizedGraph:
    model = qdq_model(graph, numerics, {}, style)
    path.write_bytes(model.SerializeToString(deterministic=True))
    whole = next(iter(graph.tensors.values())).format.scale.is_power_of_two
    return read_qdq(path, "test", lambda _: Meaning(numerics, whole))


def _told(node: QuantizedNode) -> str:
    """Return all that decides integers: operator, attributes, steps."""
    attributes = sorted(node.attributes.items())
    return repr((node.op, attributes, node.input_steps, node.steps, node.accumulator))


@pytest.mark.parametrize(
    ("scales", "style"),
    [
        *(("float", style) for style in STYLES),
        ("power_of_two", "integers"),
        ("power_of_two", "real weights"),
    ],
)
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("network", [everything, sequences, _without_up])
def test_every_style_reads_back_to_the_same_arithmetic(
    network: Callable[[], Graph], scales: str, per_channel: bool, style: str, tmp_path: Path
) -> None:
    """Every step of every node, every constant, and so every integer; slopes of 0.1 included."""
    options = GenericOptions(scales=scales, per_channel=per_channel)
    numerics = numerics_of(options)
    graph = _quantized(network(), numerics)
    back = _read(graph, numerics, STYLES[style], tmp_path / "net.onnx")
    assert [node.name for node in back.nodes] == [node.name for node in graph.nodes]
    for ours, theirs in zip(graph.nodes, back.nodes, strict=True):
        assert _told(theirs) == _told(ours)
    codes = {"x": quantize(DATA, graph.tensors["x"].format, numerics.inputs.rounding)}
    expected, found = reference.run(graph, codes).tensors, reference.run(back, codes).tensors
    for tensor, wanted in expected.items():
        np.testing.assert_array_equal(found[tensor], wanted, err_msg=tensor)


def test_attributes_are_those_a_file_can_state() -> None:
    """0.1 becomes the float32 number nearest to it; whole numbers and words stay."""
    (leaky,) = (n for n in representable(everything()).nodes if n.name == "lr")
    assert leaky.attributes["slope"] == float(np.float32(0.1)) != 0.1
    before = {n.name: n.attributes for n in everything().nodes}
    for node in representable(everything()).nodes:
        for key, value in node.attributes.items():
            given = before[node.name][key]
            near = isinstance(value, float) and value == pytest.approx(given, rel=1e-7)
            assert near or value == given


def test_a_bias_that_float32_cannot_tell_is_refused() -> None:
    """Beyond 2^24 steps a real bias would name another code; the text names it."""
    numerics = numerics_of(GenericOptions(scales="float"))
    graph = _quantized(_without_up(), numerics)
    (name,) = (node.inputs[2] for node in graph.nodes if node.name == "fc")
    large = np.full_like(graph.constants[name], (1 << 27) + 1)
    graph = replace(graph, constants={**graph.constants, name: large})
    qdq_model(graph, numerics, {})
    with pytest.raises(UnsupportedError, match=rf"a bias of '{name}' is too large.*134,217,729"):
        qdq_model(graph, numerics, {}, QdqStyle(float_bias=True))


def test_biases_with_a_power_of_two_of_their_own_are_no_real_numbers() -> None:
    """Their scale would be lost; the text says what to write instead."""
    numerics = numerics_of(GenericOptions())
    with pytest.raises(UnsupportedError, match="power of two of its own") as caught:
        qdq_model(_quantized(_without_up(), numerics), numerics, {}, QdqStyle(float_bias=True))
    assert "integers" in caught.value.hint
