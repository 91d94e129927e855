"""quant_info.json: the original's files are read and written again byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.vitis.writing.recorded import CASES, keeps_relu6, recorded_file
from tests.vitis.xir.networks import convolutions, formats_of, moved
from tests.vitis.xir.vendor import position_of, prepared

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.writing.quant_info import quant_info_text, read_quant_info, scale_of


@pytest.mark.parametrize("case", CASES)
def test_recorded_files_come_out_byte_for_byte(shared: Path, case: str) -> None:
    """Reading into our formats and writing them gives the same file, with nothing to note."""
    folder = shared / "vendor/vitis"
    text = recorded_file(folder, case).read_text(encoding="utf-8")
    graph = prepared(folder, relu6=keeps_relu6(case))
    found = read_quant_info(text, graph)
    assert found.notes == ()
    again = quant_info_text(
        graph, found.formats, fast_finetuned=found.fast_finetuned,
        bias_corrected=found.bias_corrected, version=found.version, graph_md5=found.graph_md5,
    )  # fmt: skip
    assert again == text


def test_another_word_for_a_layer_is_noted(shared: Path) -> None:
    """Numbers count: where the original kept ReLU6 and we have ReLU, the format is taken."""
    folder = shared / "vendor/vitis"
    text = recorded_file(folder, "case_small/dpu_nocle_nobc").read_text(encoding="utf-8")
    (note,) = read_quant_info(text, prepared(folder)).notes
    assert "nndct_relu6_2" in note
    assert "SmallCNN::nndct_relu_2" in note


def test_positions_reach_the_right_tensors(shared: Path) -> None:
    """A format read under our name is the one that stands under the original's."""
    folder = shared / "vendor/vitis"
    file = recorded_file(folder, "xmodel")
    graph = prepared(folder)
    formats = read_quant_info(file.read_text(encoding="utf-8"), graph).formats
    last = formats.outputs[graph.outputs[0]]
    assert last == FixPosition(8, position_of(file, "output", "SmallCNN::nndct_dense_14"))
    weight = formats.params[graph.nodes[0].inputs[1]]
    assert weight == FixPosition(8, position_of(file, "param", "SmallCNN::conv1.weight"))


def written(graph: Graph, formats: NetworkFormats, *, as_scales: bool = False) -> str:
    """Return the text for a network."""
    return quant_info_text(graph, formats, fast_finetuned=False, bias_corrected=False,
                           version="1", graph_md5="0", as_scales=as_scales)  # fmt: skip


@pytest.mark.parametrize("build", [convolutions, moved])
def test_formats_survive_the_file(build: object) -> None:
    """Formats of other networks come back as they were."""
    graph = convolutions() if build is convolutions else moved()
    formats = formats_of(graph)
    found = read_quant_info(written(graph, formats), graph).formats
    assert (dict(found.params), dict(found.outputs)) == (dict(formats.params),
                                                         dict(formats.outputs))  # fmt: skip


def test_scales_zero_points_and_channels_survive_the_file() -> None:
    """Entries of the float class keep scale, zero point and maximum, per channel too."""
    graph = convolutions()
    weight, bias = graph.nodes[0].inputs[1:3]
    formats = NetworkFormats(
        frozen_mapping({
            weight: FloatScale(8, (0.1,) * 6, (0,) * 6, (12.7,) * 6, 0),
            bias: FixPosition(8, 3, (3, 4, 5, 6, 7, 8), 0),
        }),
        frozen_mapping({"x": FloatScale(8, (0.25,), (7,), (6.0,), unsigned=True), "relu": None}),
        frozen_mapping({"grouped": FixPosition(16, 9)}),
    )  # fmt: skip
    found = read_quant_info(written(graph, formats), graph).formats
    assert dict(found.params) == dict(formats.params)
    assert dict(found.outputs) == {"x": formats.outputs["x"]}
    assert dict(found.inputs) == dict(formats.inputs)


def test_the_float_class_has_powers_of_two_as_scales() -> None:
    """For CPU and GPU the original writes four numbers, whatever the scale."""
    graph = convolutions()
    body = json.loads(written(graph, formats_of(graph, 4), as_scales=True))
    assert body["output"]["Net::nndct_input_0"] == [[8, 2.0**-4, 0, 127 * 2.0**-4]]
    assert scale_of(FixPosition(8, 1, unsigned=True)).float_max == (127.5,)


def test_entries_without_a_format_mean_not_quantized() -> None:
    """A null entry, or a null position, is no format and no error."""
    graph = convolutions()
    body = {"param": {"Net::plain.weight": None}, "input": {},
            "output": {"Net::nndct_relu_2": [[8, None]], "Net::nndct_conv2d_6": None}}  # fmt: skip
    found = read_quant_info(json.dumps(body), graph).formats
    assert dict(found.params) == {"plain.weight": None}
    assert dict(found.outputs) == {"relu": None, "dilated": None}


def body_with(block: str, entries: object) -> str:
    """Return a file with one filled block."""
    return json.dumps({"param": {}, "output": {}, "input": {}, block: entries})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no blocks"),
        ('{"param": []}', "no blocks"),
        (body_with("param", {"Net::other.weight": [[8, 3]]}), "other.weight"),
        (body_with("output", {"Net::nndct_relu_99": [[8, 3]]}), "nndct_relu_99"),
        (body_with("output", {"Net::relu": [[8, 3]]}), "Net::relu"),
        (body_with("param", {"Net::plain.weight": [[8, "3"]]}), "expected"),
        (body_with("param", {"Net::plain.weight": [[8, 3.5]]}), "expected"),
        (body_with("param", {"Net::plain.weight": [[0, 3]]}), "expected"),
        (body_with("param", {"Net::plain.weight": [[8]]}), "expected"),
        (body_with("param", {"Net::plain.weight": [[8, 0.0, 0, 1.0]]}), "expected"),
        (body_with("param", {"Net::plain.weight": 8}), "expected"),
        (body_with("param", {"Net::plain.weight": [[True, 3]]}), "expected"),
    ],
)  # fmt: skip
def test_foreign_or_damaged_files_are_refused(text: str, words: str) -> None:
    """The text names what does not fit."""
    with pytest.raises(InputError, match=words):
        read_quant_info(text, convolutions())
