"""Quantization-parameter files: read, written, and refused with reasons."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.current.executing import quantized
from tests.tidl.networks import Net, classifier

from nibblefit.cli import main
from nibblefit.errors import InputError, UnsupportedError, WorkspaceError
from nibblefit.ir.ops import Op
from nibblefit_tidl.parameters_file.checking import problems_of
from nibblefit_tidl.parameters_file.from_graph import parameters_of, ranges_from
from nibblefit_tidl.parameters_file.message import (
    LayerParameters,
    NetworkParameters,
    QuantType,
    TensorParameters,
)
from nibblefit_tidl.parameters_file.reading import (
    parse_parameters,
    read_parameters,
    write_parameters,
)
from nibblefit_tidl.parameters_file.text import written

VALID = """
# written by the tools
num_layers: 2
quant_type: SYMMETRIC
calib_type: PERTENSOR
layers {
  layer_name: "input" layer_type: "Data"
  outputs { min: 0.0 max: 255 size: 3072 element_type: "uint8" scale: 1.0 zero_point: 0 }
}
layers: <
  layer_name: 'conv1/relu'
  layer_type: Convolution
  bit_depth: 8
  outputs { min: 0 max: 6.25 size: 8 scale: [40.96] }
  weights { min: -0.5, max: 0.25, size: 4, scale: [256.0, 128.0] }
  bias { min: -0.125 max: 1e-3f size: 2 value: -0.125 value: 0.001 }
>
"""
NEVER_SEEN = """
num_layers: 1
layers {
  layer_name: "conv1"
  outputs { min: 3.40282347e+38 max: 1.17549435e-38 size: 8 }
  weights { min: FLT_MAX max: -FLT_MAX size: 4 }
}
"""


def test_a_valid_file_is_read() -> None:
    """Comments, both brackets, lists, quoted and bare words."""
    found = parse_parameters(VALID, "net.prototxt")
    assert problems_of(found) == []
    data, conv = found.layers
    assert data.outputs[0].max == 255.0
    assert (conv.layer_name, conv.layer_type, conv.bit_depth) == ("conv1/relu", "Convolution", 8)
    assert conv.weights[0].scale == (256.0, 128.0)
    assert conv.bias[0].value == (-0.125, 0.001)
    assert ranges_from(found) == {"input": (0.0, 255.0), "conv1/relu": (0.0, 6.25)}


def test_a_file_of_tensors_never_seen_is_refused_with_reasons(tmp_path: Path) -> None:
    """Minima of FLT_MAX and maxima of FLT_MIN, however they are printed."""
    (tmp_path / "net.prototxt").write_text(NEVER_SEEN)
    with pytest.raises(InputError) as caught:
        read_parameters(tmp_path / "net.prototxt")
    text = str(caught.value)
    assert "layer 'conv1', outputs: min is FLT_MAX: no value was ever seen" in text
    assert "layer 'conv1', outputs: max is FLT_MIN: no value was ever seen" in text
    assert "layer 'conv1', weights: max is -FLT_MAX" in text
    assert "calibrate again" in caught.value.hint


TENSOR = TensorParameters(-1.0, 1.0, 2)
LAYER = LayerParameters("a", outputs=(TENSOR,))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (NetworkParameters(3, layers=(LAYER,)), "num_layers is 3, the file has 1 layers"),
        (NetworkParameters(0), "there is no layer"),
        (NetworkParameters(1, QuantType.ASYMMETRIC, layers=(LAYER,)), "quant_type is ASYMMETRIC"),
        (parse_parameters("num_layers: 0 calib_type: PERCHANNEL", ""), "calib_type is PERCHANNEL"),
        (NetworkParameters(2, layers=(LAYER, LAYER)), "2 layers are called 'a'"),
        (NetworkParameters(1, layers=(replace(LAYER, layer_name=""),)), "have no layer_name"),
        (NetworkParameters(1, layers=(replace(LAYER, bit_depth=9),)), "bit_depth is 9"),
        (NetworkParameters(1, layers=(LayerParameters("a"),)), "it has no outputs"),
    ],
)
def test_wrong_networks_and_layers_are_named(found: NetworkParameters, reason: str) -> None:
    """Each with its place."""
    assert any(reason in problem for problem in problems_of(found))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (replace(TENSOR, min=None), "min is missing"),
        (replace(TENSOR, max=float("nan")), "max is nan"),
        (replace(TENSOR, min=float("-inf")), "min is -inf"),
        (replace(TENSOR, max=1e39), "max is FLT_MAX"),
        (replace(TENSOR, min=2.0), "min 2 is above max 1"),
        (replace(TENSOR, value=(1.0,)), "size is 2, there are 1 values"),
        (replace(TENSOR, value=(1.0, float("inf"))), "a value or a scale is not finite"),
        (replace(TENSOR, scale=(0.0,)), "a scale is not above 0"),
    ],
)
def test_wrong_tensors_are_named(tensor: TensorParameters, reason: str) -> None:
    """In biases, where values count too."""
    layer = replace(LAYER, bias=(tensor,))
    assert any(f"layer 'a', bias: {reason}" in problem
               for problem in problems_of(NetworkParameters(1, layers=(layer,))))  # fmt: skip


def test_long_lists_of_problems_are_cut() -> None:
    """Eight, and how many more."""
    layers = tuple(replace(LAYER, layer_name=f"l{i}", bit_depth=3) for i in range(12))
    with pytest.raises(InputError, match="and 4 more"):
        write_parameters(NetworkParameters(12, layers=layers), "unused")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("num_layer: 1", "line 1: there is no field 'num_layer'"),
        ("\nlayers { name: 'a' }", "line 2: there is no field 'name'"),
        ("num_layers: many", "num_layers is many; expected a whole number"),
        ("num_layers: 1 num_layers: 2", "'num_layers' is given twice"),
        ("quant_type: ODD", "expected SYMMETRIC or ASYMMETRIC"),
        ("layers: 3", "'layers' is a message"),
        ("layers { outputs { min: low } }", "min is low; expected a number"),
        ("layers { layer_name { } }", "expected a value, not a message"),
        ("layers { outputs { min: 1 ", "ends inside a message"),
        ("num_layers", "ends behind 'num_layers'"),
        ("num_layers 3", "follows 'num_layers' without a colon"),
        ("num_layers: }", "'}' is no value"),
        ("layers { outputs { scale: [1, 2", "ends inside a list"),
        ("}", "'}' closes nothing"),
        ("layers { > }", "'>' is no field"),
        ("num_layers: §", "is not expected here"),
        ("layers {" * 12, "opens too many messages"),
    ],
)
def test_text_that_is_no_such_file_is_refused(text: str, reason: str) -> None:
    """With the line."""
    with pytest.raises(InputError) as caught:
        parse_parameters(text, "net.prototxt")
    assert reason in str(caught.value)
    assert str(caught.value).startswith("net.prototxt")


_NUMBERS = st.floats(-1e6, 1e6).map(float)
_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r", exclude_categories=("C",)))
_TENSORS = st.lists(
    st.builds(TensorParameters, _NUMBERS, _NUMBERS, st.integers(0, 9), _NAMES,
              st.lists(_NUMBERS).map(tuple), st.lists(st.integers(-128, 255)).map(tuple),
              st.lists(_NUMBERS).map(tuple)),
    max_size=2,
).map(tuple)  # fmt: skip


@given(st.lists(st.builds(LayerParameters, _NAMES, _NAMES, st.integers(0, 32), _TENSORS, _TENSORS,
                          _TENSORS, _TENSORS), max_size=3))  # fmt: skip
def test_what_is_written_reads_back(layers: list[LayerParameters]) -> None:
    """Any names, any numbers, to the last bit."""
    network = NetworkParameters(len(layers), layers=tuple(layers))
    assert parse_parameters("\n".join(written(network)), "text") == network


@pytest.mark.parametrize("kind", [0, 1])
def test_a_quantized_network_becomes_a_valid_file(tmp_path: Path, kind: int) -> None:
    """Read back equal; its ranges quantize the network to the same codes again."""
    model = classifier()
    found = quantized(model, "tda4vm", quantization_scale_type=kind)
    parameters = parameters_of(found.graph)
    write_parameters(parameters, tmp_path / "net.prototxt")
    back = read_parameters(tmp_path / "net.prototxt")
    assert back == parameters
    ranges = ranges_from(back)
    for name, (lo, hi) in found.ranges.items():
        assert ranges[name] == pytest.approx((min(lo, 0.0), max(hi, 0.0)))
    layer = next(entry for entry in back.layers if entry.layer_type == "InnerProduct")
    codes, fmt = found.graph.constants["head.bias"], found.graph.tensors["head.bias"].format
    assert np.array_equal(layer.bias[0].value, codes * fmt.scale.values())


def test_slopes_and_channel_scales_are_written() -> None:
    """PReLU has its slopes; depthwise scales make the file PERCHANNEL."""
    net = Net((4, 6, 6))
    slope = net.constant("p.slope", [0.1, 0.2, 0.3, 0.05])
    graph = net.finish(net.add(Op.PRELU, [net.conv(net.x, 4, "c", groups=4), slope], "p"))
    found = quantized(graph, quantization_scale_type=0, accuracy_level=9,
                      channel_wise_quantization=True)  # fmt: skip
    parameters = parameters_of(found.graph)
    assert parameters.calib_type == "PERCHANNEL"
    assert len(parameters.layers[-1].slope[0].value) == 4
    assert problems_of(parameters) == []


def test_asymmetric_networks_have_no_such_file() -> None:
    """The tools read symmetric files alone."""
    with pytest.raises(UnsupportedError, match="symmetric only"):
        parameters_of(quantized(classifier(), quantization_scale_type=4).graph)


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    """Missing, binary, or in a folder that does not exist."""
    with pytest.raises(InputError, match="cannot be read"):
        read_parameters(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is not text"):
        read_parameters(tmp_path / "binary")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_parameters(NetworkParameters(1, layers=(LAYER,)), tmp_path / "no" / "net")


def test_the_command_prints_ranges_or_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exits 4 for a file that cannot be used."""
    path = tmp_path / "net.prototxt"
    path.write_text(VALID)
    assert main(["tidl", "parameters", str(path)]) == 0
    assert "conv1/relu" in capsys.readouterr().out
    path.write_text(NEVER_SEEN)
    assert main(["tidl", "parameters", str(path)]) == 4
    assert "error: layer 'conv1'" in capsys.readouterr().out
    assert main(["tidl", "parameters", str(path), "--json"]) == 4
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 4
