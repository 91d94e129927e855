"""Operations and zeros, counted by hand and against TI's published figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tidl.caffe.networks import header, imported, layer

from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.classic.kernels import kernel_choices
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.complexity import (
    LayerSparsity,
    Sparsity,
    convolution_macs,
    importer_gmac,
    mmac,
    sparsity,
    sparsity_of_codes,
)
from nibblefit_tidl.latency.timing import layer_times

#: Published deploy file → millions of multiply-accumulates. The first four are TI's tables (the
#: reference sheet's section 6); the rest follows from the same rule.
PUBLISHED = {
    "jacintonet11v2_imagenet": 405.81,
    "jsegnet21v2_cityscapes5": 8808.04,
    "jdetnet_voc0712_768x320": 2130.05,
    "jacintonet11v2_cifar10": 287.94,
    "jdetnet_voc0712_512x512": 3360.09,
    "mobilenet0.5_imagenet": 149.52,
}

#: Zeros per layer of the published sparse JacintoNet11, as its log prints them.
JACINTONET11_ZEROS = {
    "conv1a": 0.395, "conv1b": 0.679, "res2a_branch2a": 0.789, "res2a_branch2b": 0.700,
    "res3a_branch2a": 0.801, "res3a_branch2b": 0.762, "res4a_branch2a": 0.807,
    "res4a_branch2b": 0.782, "res5a_branch2a": 0.810, "res5a_branch2b": 0.809,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    """Return the folder of published definitions."""
    return shared / "vendor" / "tidl" / "prototxt"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_cost_what_ti_says(folder: Path, name: str) -> None:
    """By the tables' rule: convolutions only, each rounded to two decimals."""
    assert mmac(import_caffe(folder / f"{name}_deploy.prototxt").graph) == PUBLISHED[name]


def test_jacintonet11_layer_by_layer(folder: Path) -> None:
    """30.11, 28.90, then 57.80 and 28.90 four times; 2,354,784 weights."""
    graph = import_caffe(folder / "jacintonet11v2_imagenet_deploy.prototxt").graph
    layers = convolution_macs(graph)
    assert [item.mmac for item in layers] == [30.11, 28.90, *(57.80, 28.90) * 4]
    assert sum(item.weights for item in layers) == 2_354_784


def test_the_published_zeros_have_three_meanings(folder: Path) -> None:
    """80.5 % of the weights, 73.3 % as the mean of layers, 75.2 % of the operations."""
    graph = import_caffe(folder / "jacintonet11v2_imagenet_deploy.prototxt").graph
    found = Sparsity(tuple(
        LayerSparsity(item.name, round(JACINTONET11_ZEROS[item.name] * item.weights),
                      item.weights, item.macs)
        for item in convolution_macs(graph)
    ))  # fmt: skip
    assert sum(item.zeros for item in found.layers) == pytest.approx(1_896_370, rel=1e-3)
    shares = (found.by_weights, found.layer_mean, found.by_macs)
    assert [round(share, 3) for share in shares] == [0.805, 0.733, 0.752]


def conv(name: str, kind: str, settings: str, bottom: str = "data") -> str:
    """Return a convolution of some kind as text."""
    return layer(name, kind, f"convolution_param {{ {settings} }}", bottom)


def test_counts_by_hand(tmp_path: Path) -> None:
    """Two convolutions, a transposed one, two pools, a batch norm and a classifier."""
    text = header(2, 8, 8)
    text += conv("c", "Convolution", "num_output: 4 kernel_size: 3 pad: 1")
    text += layer("n", "BatchNorm", "batch_norm_param { scale_bias: true }", "c", "c")
    text += layer("p", "Pooling", "pooling_param { kernel_size: 2 stride: 2 }", "c")
    text += conv("d", "Deconvolution", "num_output: 4 kernel_size: 2 stride: 2 group: 4", "p")
    text += conv("g", "Convolution", "num_output: 4 kernel_size: 1 group: 2 stride: 2", "d")
    text += layer("a", "Pooling", "pooling_param { pool: AVE global_pooling: true }", "g")
    text += layer("fc", "InnerProduct", "inner_product_param { num_output: 5 }", "a")
    graph = imported(tmp_path, text).graph
    convolutions = {"c": 64 * 4 * 2 * 9, "g": 16 * 4 * 2}
    assert {item.name: item.macs for item in convolution_macs(graph)} == convolutions
    others = 64 * 4 + 16 * 4 * 4 + 16 * 4 * 4 + 4 * 16 + (4 * 5 + 5)
    assert importer_gmac(graph) == (sum(convolutions.values()) + others) / 1e9
    assert mmac(graph) == 0.0  # 0.0046 and 0.0001 million round to nothing


def test_zeros_by_hand(tmp_path: Path) -> None:
    """Masked weights count as zero; a convolution that only a softmax reads is left out."""
    text = header(2, 4, 4)
    text += layer("c", "Convolution", "convolution_param { num_output: 4 kernel_size: 3 "
                  "weight_filler { value: 1 } }")  # fmt: skip
    text += layer("z", "Convolution", "convolution_param { num_output: 4 kernel_size: 1 }", "c")
    text += layer("head", "Convolution", "convolution_param { num_output: 3 kernel_size: 1 }", "z")
    text += layer("prob", "Softmax", bottom="head")
    graph = imported(tmp_path, text).graph
    mask = np.ones((4, 2, 3, 3), bool)
    mask[0] = False
    found = sparsity(graph, {"c.weight": mask})
    assert [(item.name, item.zeros, item.weights) for item in found.layers] == [
        ("c", 18, 72), ("z", 16, 16)
    ]  # fmt: skip
    assert found.by_weights == 34 / 88
    assert found.layer_mean == (0.25 + 1) / 2
    assert found.by_macs == (0.25 * 288 + 64) / 352
    assert sparsity(graph).layers[0].zeros == 0


def test_zeros_of_codes_by_hand() -> None:
    """Codes at the zero point of their channel; a convolution that only a softmax reads is out."""
    form = Format(8, False, scale=(1.0, 0.5), zero_point=(3, 0), axis=0)
    codes = np.full((2, 1, 2, 2), 3)
    codes[1, 0, 0] = 0
    same = Format(8)
    tensors = {
        "x": QuantizedTensor("x", (1, 6, 6), same), "w": QuantizedTensor("w", codes.shape, form),
        "y": QuantizedTensor("y", (2, 5, 4), same), "h": QuantizedTensor("h", (2, 5, 4), same),
        "p": QuantizedTensor("p", (2, 5, 4), same),
    }  # fmt: skip
    nodes = (
        QuantizedNode("c", Op.CONV, ("x", "w"), ("y",)),
        QuantizedNode("head", Op.CONV, ("y", "w"), ("h",)),
        QuantizedNode("prob", Op.SOFTMAX, ("h",), ("p",)),
    )
    graph = QuantizedGraph("n", "t", ("x",), ("p",), nodes, frozen_mapping(tensors),
                           frozen_mapping({"w": codes}))  # fmt: skip
    found = sparsity_of_codes(graph)
    assert found.layers == (LayerSparsity("c", 6, 8, 5 * 4 * 8),)
    assert found.by_weights == 0.75


def test_a_network_without_convolutions_has_no_zeros(tmp_path: Path) -> None:
    """All three numbers are zero rather than a division by zero."""
    found = sparsity(imported(tmp_path, header(3) + layer("r", "ReLU")).graph)
    assert (found.by_weights, found.layer_mean, found.by_macs) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("op", [Op.CONV, Op.LINEAR])
def test_computed_weights_are_one_clear_refusal(op: Op) -> None:
    """Whoever counts, places or chooses kernels says the same, and names the layer."""
    convolves = op is Op.CONV
    shape = (4, 3, 3) if convolves else (4,)
    attributes = {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1), "groups": 1}
    node = Node("dynamic", op, ("x", "w"), ("y",), attributes if convolves else {})
    graph = Graph("net", ("x", "w"), ("y",), (node,), {"x": shape, "w": (1, 1), "y": shape}, {})
    asked = [merged_layers, importer_gmac]
    if convolves:
        asked += [mmac, sparsity, kernel_choices, layer_times]
    for ask in asked:
        with pytest.raises(UnsupportedError, match=r"'dynamic' .* takes its weights from another"):
            ask(graph)
