"""Text and binary files: both generations, every way of storing numbers, every kind of damage."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tidl.caffe import wire
from tests.tidl.caffe.networks import header, imported, layer, run

from nibblefit.errors import InputError, NibblefitError
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.caffe.reading import parse_text

CONV = layer("c", "Convolution", "convolution_param { num_output: 2 kernel_size: 1 }")
TEXT = header(3, 2, 2) + CONV
WEIGHTS = np.array([1, 2, 3, -4, 5, 6], "f4")
BIAS = np.array([0.5, -1.5], "f4")
X = np.random.default_rng(0).normal(size=(1, 3, 2, 2))
Y = np.einsum("oi,nihw->nohw", WEIGHTS.reshape(2, 3), X) + BIAS[:, None, None]
HALF = np.concatenate([WEIGHTS, BIAS]).astype("<f2")

FORMS = {
    "today": wire.layer(
        "c", "Convolution", [wire.blob((2, 3, 1, 1), WEIGHTS), wire.blob((2,), BIAS)]
    ),
    "V1 with four sizes": wire.old_layer(
        "c", 4, [wire.old_blob((2, 3, 1, 1), WEIGHTS), wire.old_blob((1, 1, 1, 2), BIAS)]
    ),
    "double": wire.layer(
        "c", "Convolution", [wire.double_blob((2, 3, 1, 1), WEIGHTS), wire.double_blob((2,), BIAS)]
    ),
    "raw float16": wire.layer("c", "Convolution", [
        wire.raw_blob((2, 3, 1, 1), 2, HALF[:6].tobytes()),
        wire.raw_blob((2,), 2, HALF[6:].tobytes()),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_weights_is_read(tmp_path: Path, form: str) -> None:
    """Bytes assembled by the tests give the network they were made for."""
    found = imported(tmp_path, TEXT, FORMS[form])
    np.testing.assert_allclose(run(found.graph, X)[0], Y, atol=1e-12)
    assert not found.notes


def test_v1_text_is_brought_up_to_date(tmp_path: Path) -> None:
    """Numbered types, blobs_lr and weight sharing of the old format."""
    text = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 2 input_dim: 2\n'
        'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" blobs_lr: 0 blobs_lr: 0 '
        "convolution_param { num_output: 2 kernel_size: 1 } }\n"
        'layers { name: "r" type: RELU bottom: "c" top: "c" }\n'
    )
    found = imported(tmp_path, text, FORMS["V1 with four sizes"])
    np.testing.assert_allclose(run(found.graph, X)[0], np.maximum(Y, 0), atol=1e-12)
    assert set(found.graph.constants) == {"c.weight:fixed", "c.bias:fixed"}


def test_phases_stages_and_dropped_layers(tmp_path: Path) -> None:
    """A train/val file gives the network of the phase asked for, without data, loss and measure."""
    data = (
        'layer {{ name: "{0}" type: "Data" top: "data" top: "label" include {{ phase: {0} }} '
        "transform_param {{ mean_value: 10 scale: 0.5 }} }}\n"
    )
    text = data.format("TRAIN") + data.format("TEST") + CONV
    text += layer("train_only", "ReLU", "include { phase: TRAIN }", "c", "c")
    text += layer("never", "Power", 'include { stage: "deploy" }', "c", "c")
    text += layer("drop", "Dropout", "exclude { phase: TEST }", "c", "c")
    text += layer("loss", "SoftmaxWithLoss", "", "c label")
    text += layer("top1", "Accuracy", "include { phase: TEST }", "c label")
    model = FORMS["today"]
    test = imported(tmp_path, text, model, input_shape=(3, 2, 2))
    assert [node.name for node in test.graph.nodes] == ["TEST/transform", "c"]
    scaled = np.einsum("oi,nihw->nohw", WEIGHTS.reshape(2, 3), (X - 10) / 2) + BIAS[:, None, None]
    np.testing.assert_allclose(run(test.graph, X)[0], scaled, atol=1e-12)
    assert test.notes == ("left out of the graph: loss, top1",)
    train = imported(tmp_path, text, model, input_shape=(3, 2, 2), phase="train")
    names = [node.name for node in train.graph.nodes]
    assert names == ["TRAIN/transform", "c", "train_only", "drop"]


def test_rules_of_levels_and_stages(tmp_path: Path) -> None:
    """A rule holds if the state's level fits, its stages are on and no forbidden one is."""
    text = header(3, 2, 2) + 'state { level: 2 stage: "deploy" stage: "big" }\n'
    rules = {
        "low": "include { max_level: 1 }", "fits": "include { min_level: 2 max_level: 3 }",
        "high": "include { min_level: 3 }", "on": 'include { stage: "deploy" stage: "big" }',
        "off": 'include { not_stage: "big" }', "either": 'include { stage: "x" } include { }',
        "out": 'exclude { stage: "deploy" }',
    }  # fmt: skip
    for name, rule in rules.items():
        text += layer(name, "ReLU", rule, "data", "data")
    found = imported(tmp_path, text).graph
    assert [node.name for node in found.nodes] == ["fits", "on", "either"]


def test_v1_parameters_keep_names_and_decay(tmp_path: Path) -> None:
    """Old names of shared parameters become today's."""
    text = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 2 input_dim: 2\n'
        'layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" param: "w" param: "b" '
        "weight_decay: 1 include { phase: TEST } "
        "convolution_param { num_output: 2 kernel_size: 1 } }\n"
    )
    assert set(imported(tmp_path, text).graph.constants) == {"w", "b"}


def test_shared_and_frozen_parameters_keep_their_names(tmp_path: Path) -> None:
    """Two layers with one parameter name use one constant; a rate of zero freezes it."""
    said = "num_output: 3 kernel_size: 1 bias_term: false"
    shared = f'param {{ name: "w" lr_mult: 0 }} convolution_param {{ {said} }}'
    text = (
        header(3, 2, 2) + layer("a", "Convolution", shared) + layer("b", "Convolution", shared, "a")
    )
    graph = imported(tmp_path, text).graph
    assert set(graph.constants) == {"w:fixed"}
    assert [node.inputs[1] for node in graph.nodes] == ["w:fixed"] * 2


def test_fillers_follow_the_seed_and_their_distributions(tmp_path: Path) -> None:
    """Spreads are those of the definitions; every layer draws its own numbers, seed by seed."""

    def conv(name: str, filler: str) -> str:
        said = (
            f"num_output: 64 kernel_size: 3 weight_filler {{ {filler} }} bias_filler {{ value: 2 }}"
        )
        return layer(name, "Convolution", f"convolution_param {{ {said} }}")

    text = header(32, 8, 8) + conv("m", 'type: "msra"') + conv("n", 'type: "msra"')
    text += conv("x", 'type: "xavier" variance_norm: FAN_OUT')
    text += conv("g", 'type: "gaussian" std: 0.01 sparse: 16') + conv(
        "u", 'type: "uniform" min: -1 max: 3'
    )
    text += conv("p", 'type: "positive_unitball"') + conv("k", 'type: "constant" value: 0.5')
    values = imported(tmp_path, text).graph.constants
    again = imported(tmp_path, text, seed=2).graph.constants
    assert not np.array_equal(values["m.weight"], again["m.weight"])
    assert not np.array_equal(values["m.weight"], values["n.weight"])
    spread = values["m.weight"].std() / np.sqrt(2 / (32 * 9))
    assert abs(spread - 1) < 0.02
    limit = np.sqrt(3 / (64 * 9))
    assert 0.99 * limit < np.abs(values["x.weight"]).max() <= limit
    assert abs((values["g.weight"] != 0).mean() - 16 / 64) < 0.02
    assert -1 <= values["u.weight"].min() < -0.99
    assert 2.99 < values["u.weight"].max() <= 3
    np.testing.assert_allclose(values["p.weight"].sum((1, 2, 3)), 1, atol=1e-6)
    assert (values["k.weight"] == 0.5).all()
    assert (values["k.bias"] == 2).all()


def test_weights_that_do_not_belong_are_refused(tmp_path: Path) -> None:
    """Missing layers (random at TI, in silence), wrong shapes, wrong counts, no finite numbers."""
    other = TEXT + layer(
        "d", "Convolution", "convolution_param { num_output: 1 kernel_size: 1 }", "c"
    )
    with pytest.raises(InputError, match=r"no weights for 1 layers.*'d'"):
        imported(tmp_path, other, FORMS["today"])
    filled = imported(tmp_path, other, FORMS["today"], missing="fill")
    assert "d.weight" in filled.graph.constants
    wide = TEXT.replace("num_output: 2", "num_output: 3")
    with pytest.raises(InputError, match=r"weight of layer 'c' has the shape \(2, 3, 1, 1\)"):
        imported(tmp_path, wide, FORMS["today"])
    lacking = wire.layer("c", "Convolution", [wire.blob((2, 3, 1, 1), WEIGHTS)])
    with pytest.raises(InputError, match=r"has 1 blobs.*needs its bias"):
        imported(tmp_path, TEXT, lacking)
    odd = wire.layer("c", "Convolution", [wire.blob((2, 4, 1, 1), WEIGHTS)])
    with pytest.raises(InputError, match="holds 6 numbers for the shape"):
        imported(tmp_path, TEXT, odd)
    infinite = wire.layer("c", "Convolution", [wire.blob((2, 3, 1, 1), [np.inf] * 6)])
    with pytest.raises(InputError, match="6 numbers that are not finite"):
        imported(tmp_path, TEXT, infinite)
    more = FORMS["today"] + wire.layer("e", "ReLU", [wire.blob((1,), [1])])
    unused = imported(tmp_path, TEXT, more)
    assert "weights that no layer uses: e" in unused.notes[0]


def test_binary_files_of_other_kinds(tmp_path: Path) -> None:
    """Empty, text, HDF5, no layer, and fields that nobody knows."""
    with pytest.raises(InputError, match="holds nothing of a NetParameter"):
        imported(tmp_path, TEXT, b"")
    with pytest.raises(InputError, match="HDF5 file"):
        imported(tmp_path, TEXT, b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(InputError, match="holds no layer"):
        imported(tmp_path, TEXT, wire.block(1, b"just a name"))
    found = imported(tmp_path, TEXT, FORMS["today"] + wire.number(77, 1))
    assert found.notes[0].endswith("not understood: NetParameter field 77")
    (tmp_path / "binary.prototxt").write_bytes(FORMS["today"] + b"\xff")
    with pytest.raises(InputError, match=r"is not text.*\n.*model.weights"):
        import_caffe(tmp_path / "binary.prototxt")
    with pytest.raises(InputError, match="does not exist"):
        import_caffe(tmp_path / "missing.prototxt")
    with pytest.raises(InputError, match="cannot be read"):
        import_caffe(tmp_path)


@given(keep=st.floats(0.02, 0.98))
def test_a_truncated_caffemodel_is_one_clear_line(tmp_path_factory, keep: float) -> None:
    """Cut anywhere: never a traceback, never a network."""
    whole = FORMS["today"]
    cut = whole[: int(len(whole) * keep)]
    with pytest.raises(InputError) as caught:
        imported(tmp_path_factory.mktemp("cut"), TEXT, cut)
    assert "\n" not in caught.value.what


@given(place=st.integers(0, len(FORMS["today"]) * 8 - 1))
def test_a_flipped_bit_is_explained_or_changes_numbers_only(tmp_path_factory, place: int) -> None:
    """Structure is checked; a flip inside a number cannot be seen: there is no checksum."""
    raw = bytearray(FORMS["today"])
    raw[place // 8] ^= 1 << place % 8
    try:
        graph = imported(tmp_path_factory.mktemp("flip"), TEXT, bytes(raw)).graph
    except NibblefitError as error:
        said = error.what
    else:
        said = ""
        assert graph.constants["c.weight"].shape == (2, 3, 1, 1)
    assert "\n" not in said


def test_datum_numbers_are_those_of_caffe() -> None:
    """Field numbers of BlobProto and Datum, checked against bytes written here."""
    from nibblefit_tidl.caffe.reading import parse_binary

    raw = wire.number(1, 3) + wire.number(2, 1) + wire.number(3, 2) + wire.block(4, b"abcdef")
    raw += wire.number(5, 9) + b"\x35" + struct.pack("<f", 0.5) + wire.number(7, 1)
    datum, unknown = parse_binary(raw, "Datum", "x")
    assert (datum.channels, datum.height, datum.width, datum.label) == (3, 1, 2, 9)
    assert (datum.data, list(datum.float_data), datum.encoded) == (b"abcdef", [0.5], True)
    assert unknown == ()
    assert parse_text("data: 'x'", "Datum", "x").data == b"x"
