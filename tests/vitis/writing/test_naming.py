"""The original's names, proven on everything it recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.vitis.writing.recorded import CASES, keeps_relu6, recorded_file
from tests.vitis.xir.networks import Net, combined, convolutions, formats_of
from tests.vitis.xir.vendor import prepared

from nibblefit.ir.ops import Op
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.naming import OriginalNames
from nibblefit_vitis.xir.network import to_xir

SETTING = NetworkSetting()


@pytest.mark.parametrize("case", CASES)
def test_names_are_those_of_every_recorded_file(shared: Path, case: str) -> None:
    """Keys of parameters and of outputs are all produced from our graph, none is missing."""
    folder = shared / "vendor/vitis"
    names = OriginalNames(prepared(folder, relu6=keeps_relu6(case)))
    body = json.loads(recorded_file(folder, case).read_text(encoding="utf-8"))
    assert list(names.parameters.values()) == list(body["param"])
    assert set(body["output"]) <= set(names.tensors.values())


def test_names_of_layers_are_those_of_the_recorded_corrections(shared: Path) -> None:
    """Bias corrections were recorded by layer: convolutions, depthwise ones, dense."""
    folder = shared / "vendor/vitis"
    names = set(OriginalNames(prepared(folder)).layers.values())
    recorded = json.loads((folder / "case_small/dpu_default/bias_corr.json").read_text("utf-8"))
    assert set(recorded) <= names
    assert {name.rpartition("_")[0] for name in recorded} == {
        "SmallCNN::nndct_conv2d", "SmallCNN::nndct_depthwise_conv2d", "SmallCNN::nndct_dense",
    }  # fmt: skip


def test_inputs_count_and_words_follow_the_operator() -> None:
    """Numbers run through inputs and nodes; relu6 and other clips have different words."""
    graph = convolutions()
    assert list(OriginalNames(graph).tensors.values()) == [
        "Net::nndct_input_0", "Net::nndct_conv2d_1", "Net::nndct_relu_2",
        "Net::nndct_depthwise_conv2d_3", "Net::nndct_relu6_4", "Net::nndct_conv2d_5",
        "Net::nndct_conv2d_6",
    ]  # fmt: skip
    net = Net(3, 4, 4)
    clipped = net.add(Op.CLIP, [net.x], "clip", lo=-1.0, hi=1.0)
    assert OriginalNames(net.done(clipped)).tensors["clip"] == "Net::nndct_hardtanh_1"


def test_names_with_odd_characters_stay_apart_in_xir() -> None:
    """Names that are alike once cleaned get numbers, the same ones every time."""
    net = Net(3, 4, 4, name="My Net-1")
    x = net.conv(net.x, 3, "a.b")
    x = net.conv(x, 3, "a/b")
    x = net.conv(x, 3, "a_b")
    graph = net.done(net.conv(x, 3, "ä b"))
    first, second = (to_xir(graph, formats_of(graph), SETTING).graph for _ in range(2))
    names = [operator.name for operator in first.operators]
    assert names == [operator.name for operator in second.operators]
    assert len(set(names)) == len(names)
    assert {"My_Net_1__a_b", "My_Net_1__a_b_2", "My_Net_1__a_b_3", "My_Net_1____b"} <= set(names)
    assert all(name.isascii() and name.replace("_", "a").isalnum() for name in names)


def test_a_parameter_of_the_same_name_as_a_layer_is_renamed() -> None:
    """A node called like a parameter's cleaned path does not hide it."""
    net = Net(3, 4, 4)
    x = net.conv(net.x, 3, "conv")
    graph = net.done(net.conv(x, 3, "conv_weight"))
    exported = to_xir(graph, formats_of(graph), SETTING).graph
    names = [operator.name for operator in exported.operators]
    assert {"Net__conv_weight", "Net__conv_weight_2"} <= set(names)
    assert len(set(names)) == len(names)


def test_every_constant_has_one_name() -> None:
    """Operands that are constants are named too, each once."""
    names = OriginalNames(combined()).parameters
    assert set(names) == set(combined().constants)
    assert len(set(names.values())) == len(names)
