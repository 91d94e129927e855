"""No ONNX file ends an inspection: whatever is in it, every layer gets a place and a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from tests.vitis.inspection.models import model, node, scalar, weights

from nibblefit.cli.output import plain
from nibblefit.errors import InputError
from nibblefit_vitis.devices.catalogue import FINGERPRINTS, dpu_named
from nibblefit_vitis.inspection.from_onnx import network_of_model, read_network
from nibblefit_vitis.inspection.inspection import Inspection, inspect_network
from nibblefit_vitis.inspection.onnx_facts import SORTS
from nibblefit_vitis.inspection.picture import boxes, positions
from nibblefit_vitis.inspection.placing import Where
from nibblefit_vitis.inspection.report import report
from nibblefit_vitis.inspection.text import document, text

words = st.sampled_from([*SORTS, "Bogus", "LSTM", "If", "NonMaxSuppression", "QuantizeLinear"])
attributes = st.dictionaries(
    st.sampled_from(["kernel_shape", "strides", "pads", "dilations", "group", "axis", "axes",
                     "alpha", "mode", "auto_pad", "perm", "output_padding",
                     "coordinate_transformation_mode"]),
    st.integers(-3, 300) | st.floats(0, 1) | st.sampled_from(["SAME_UPPER", "linear", "x"])
    | st.lists(st.integers(-2, 20), min_size=1, max_size=6),
    max_size=4,
)  # fmt: skip
CONSTANTS = [weights("w", 8, 8, 3, 3), weights("v", 8, 8), weights("b", 8), scalar("s", 2.0)]


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """Return a random network: any operators, any wiring, any attributes."""
    tensors, nodes = ["x"], []
    for place in range(draw(st.integers(1, 12))):
        count = draw(st.integers(1, 3))
        known = [*tensors, "w", "v", "b", "s", "missing", ""]
        inputs = [draw(st.sampled_from(tensors)),
                  *(draw(st.sampled_from(known)) for _ in range(count - 1))]  # fmt: skip
        domain = draw(st.sampled_from(["", "", "", "com.acme"]))
        nodes.append(helper.make_node(
            draw(words), inputs, [f"t{place}"], name=draw(st.sampled_from(["", f"n{place}", "n"])),
            domain=domain, **draw(attributes)))  # fmt: skip
        tensors.append(f"t{place}")
    shape = draw(st.sampled_from([(1, 8, 16, 16), ("n", 8, 9, 9), (1, 8), (2, 3, 4), ()]))
    return model(nodes, CONSTANTS, shape)


def check(found: Inspection) -> None:
    """Check what holds for every inspection."""
    layers = [one.layer.name for one in found.placements]
    assert len(set(layers)) == len(layers) == len(found.network.layers)
    for one in found.placements:
        if one.where is Where.CPU:
            assert one.refusal is not None
            assert one.refusal.reason
            assert one.refusal.remedy
        else:
            assert one.what
    placed = [name for piece in found.subgraphs for name in piece.layers]
    assert sorted(placed) == sorted([*found.network.inputs, *layers])
    check_pieces(found)
    for made in (text(found), json.dumps(plain(document(found)))):
        assert found.dpu.name in made
    assert len(report(found).tables[0].rows) == len(layers)
    places = positions(boxes(found))
    assert len(set(places.values())) == len(places)


def check_pieces(found: Inspection) -> None:
    """Check that pieces hold one device each and can run in their order."""
    number = found.piece_of()
    where = {one.layer.name: one.where for one in found.placements}
    makers = found.network.makers()
    for piece in found.subgraphs[1:]:
        assert {where[name] for name in piece.layers} == {piece.where}
    for one in found.placements:
        for tensor in one.layer.inputs:
            if tensor in makers:
                assert number[makers[tensor].name] <= number[one.layer.name]


@given(random=models(), part=st.sampled_from([*FINGERPRINTS]))
def test_every_random_network_is_inspected(random: onnx.ModelProto, part: str) -> None:
    """Unknown operators and domains, wrong attributes, missing inputs, unknown shapes."""
    check(inspect_network(network_of_model(random, "random"), dpu_named(part)))


@st.composite
def chains(draw: st.DrawFn) -> list[Any]:
    """Return sound nodes: convolutions, sums, pools and functions over one image."""
    tensors, nodes = ["x"], []
    kinds = st.sampled_from(["Conv", "Add", "Relu", "Sigmoid", "MaxPool", "Concat", "Fancy"])
    for place in range(draw(st.integers(1, 15))):
        word, name = draw(kinds), f"t{place}"
        first = draw(st.sampled_from(tensors[-3:]))
        if word == "Conv":
            nodes.append(node("Conv", f"{first} w", name, pads=[1] * 4))
        elif word == "MaxPool":
            nodes.append(node("MaxPool", first, name, kernel_shape=[3, 3], pads=[1] * 4))
        elif word in ("Add", "Concat"):
            more = {"axis": 2} if word == "Concat" else {}
            nodes.append(node(word, f"{first} {draw(st.sampled_from(tensors))}", name, **more))
        else:
            nodes.append(node(word, first, name, "com.acme" if word == "Fancy" else ""))
        tensors.append(name)
    return nodes


@given(nodes=chains())
def test_pieces_of_sound_networks_are_as_few_as_they_can_be(nodes: list[Any]) -> None:
    """Neighbours on one device are in one piece, unless a longer way leads through another."""
    found = inspect_network(network_of_model(model(nodes, CONSTANTS), "sound"), dpu_named("kv260"))
    check(found)
    where = {one.layer.name: one.where for one in found.placements}
    number, makers = found.piece_of(), found.network.makers()
    for one in found.placements:
        before = {makers[name].name for name in one.layer.inputs if name in makers}
        if before and {where[name] for name in before} == {one.where} and len(before) == 1:
            assert {number[name] for name in before} == {number[one.layer.name]}


def test_names_that_repeat_and_names_that_lack_are_told_apart() -> None:
    """Layers are named by node, output or operator, with a number where that repeats."""
    nodes = [node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c")]
    nodes[0].name = nodes[1].name = "same"
    nodes[2].name = ""
    layers = network_of_model(model(nodes, []), "net").layers
    assert [one.name for one in layers] == ["same", "same@2", "c"]


def test_constants_of_any_form_are_no_layers() -> None:
    """Initializers, Constant nodes, and what is computed from them."""
    value = helper.make_node("Constant", [], ["k"], value=weights("k", 8))
    nodes = [value, node("Exp", "k", "e"), node("Mul", "x e", "y")]
    layers = network_of_model(model(nodes, []), "net").layers
    assert [one.word for one in layers] == ["Mul"]
    assert layers[0].facts["constant"] is None


def test_shapes_are_inferred_as_far_as_possible() -> None:
    """Behind an unknown operator sizes are not known, and that is said."""
    nodes = [node("Conv", "x w", "conv"), node("Fancy", "conv", "fancy", "com.acme"),
             node("Conv", "fancy w", "last")]  # fmt: skip
    network = network_of_model(model(nodes, CONSTANTS, ("n", 8, 9, 9)), "net")
    assert network.layers[0].shape == (8, 7, 7)
    assert network.layers[1].word == "com.acme.Fancy"
    assert "the shape of 2 layers is not known, first fancy" in network.notes[0]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """Missing, damaged, empty."""
    with pytest.raises(InputError, match="cannot be read"):
        read_network(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(InputError, match="damaged"):
        read_network(tmp_path / "bad.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="holds no network"):
        read_network(tmp_path / "empty.onnx")


def test_weights_in_another_file_are_not_needed(tmp_path: Path) -> None:
    """Shapes suffice: a file whose external data is missing is inspected."""
    made = model([node("Conv", "x w", "conv")], [weights("w", 8, 8, 3, 3)])
    onnx.save(made, tmp_path / "net.onnx", save_as_external_data=True, size_threshold=0,
              location="weights.bin")  # fmt: skip
    (tmp_path / "weights.bin").unlink()
    network = read_network(tmp_path / "net.onnx")
    assert network.layers[0].facts["kernel"] == (3, 3)
