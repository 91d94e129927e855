"""Every published network and solver file, layer by layer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit.ir.ops import Op
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.caffe.solver import read_solver
from nibblefit_tidl.caffe.writing import write_caffe

Row = tuple[str, int, int, int, int, int, tuple[int, ...]]

#: (output channels, kernel, groups, stride, dilation, output size) of JacintoNet11's convolutions,
#: from TI's description of the network (reference sheet, section 6).
JACINTONET11 = [
    ("conv1a", 3, 32, 5, 1, 2, (112, 112)), ("conv1b", 32, 32, 3, 4, 1, (112, 112)),
    ("res2a_branch2a", 32, 64, 3, 1, 1, (56, 56)), ("res2a_branch2b", 64, 64, 3, 4, 1, (56, 56)),
    ("res3a_branch2a", 64, 128, 3, 1, 1, (28, 28)), ("res3a_branch2b", 128, 128, 3, 4, 1, (28, 28)),
    ("res4a_branch2a", 128, 256, 3, 1, 1, (14, 14)),
    ("res4a_branch2b", 256, 256, 3, 4, 1, (14, 14)),
    ("res5a_branch2a", 256, 512, 3, 1, 1, (7, 7)), ("res5a_branch2b", 512, 512, 3, 4, 1, (7, 7)),
]  # fmt: skip


def convolutions(graph: Graph) -> list[Row]:
    """Return name, input and output channels, kernel, groups, stride and output size."""
    rows = []
    for node in graph.nodes:
        if node.op is Op.CONV:
            weights = graph.constants[node.inputs[1]].shape
            groups = node.attributes["groups"]
            shape = graph.shapes[node.output]
            rows.append((node.name, weights[1] * groups, weights[0], weights[2], groups,
                         node.attributes["strides"][0], shape[1:]))  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    """Return the folder of published definitions."""
    return shared / "vendor" / "tidl" / "prototxt"


def test_every_published_file_is_imported(folder: Path) -> None:
    """Networks become legal graphs, solvers settings; nothing in the folder is left out."""
    files = sorted(folder.glob("*.prototxt"))
    networks = [file for file in files if file.stem.endswith("_deploy")]
    assert (len(files), len(networks)) == (13, 6)
    for file in networks:
        check_graph(import_caffe(file).graph)
    for file in set(files) - set(networks):
        assert read_solver(file).momentum == 0.9


def test_jacintonet11_layer_by_layer(folder: Path) -> None:
    """Channels, kernels, groups, strides and sizes are those that TI describes."""
    graph = import_caffe(folder / "jacintonet11v2_imagenet_deploy.prototxt").graph
    assert convolutions(graph) == JACINTONET11
    assert graph.shapes["fc1000"] == (1000,)
    assert graph.constants["data/bias.bias:fixed"].tolist() == [-128.0] * 3
    assert [n.attributes["epsilon"] for n in graph.nodes if n.op is Op.BATCH_NORM] == [1e-4] * 10
    assert graph.shapes["pool4"] == (256, 7, 7)


def test_the_cifar10_variant_halves_later(folder: Path) -> None:
    """Strides 1, 1, 2, 1, 2 at 32 × 32."""
    graph = import_caffe(folder / "jacintonet11v2_cifar10_deploy.prototxt").graph
    sizes = [row[-1][0] for row in convolutions(graph)]
    assert sizes == [32] * 4 + [16] * 4 + [8] * 2


def test_jsegnet21_layer_by_layer(folder: Path) -> None:
    """Seventeen convolutions, four frozen upsamplings, a class per pixel."""
    graph = import_caffe(folder / "jsegnet21v2_cityscapes5_deploy.prototxt").graph
    rows = {row[0]: row[1:] for row in convolutions(graph)}
    assert len(rows) == 17
    assert rows["res5a_branch2b"] == (512, 512, 3, 4, 1, (32, 64))
    assert rows["out5a"] == (512, 64, 3, 2, 1, (32, 64))
    assert rows["out3a"] == (128, 64, 3, 2, 1, (64, 128))
    assert rows["ctx_final"] == (64, 8, 3, 1, 1, (64, 128))
    dilations = {n.name: n.attributes["dilations"][0] for n in graph.nodes if n.op is Op.CONV}
    assert {name for name, dilation in dilations.items() if dilation == 4} == {
        "out5a", "ctx_conv2", "ctx_conv3", "ctx_conv4"
    }  # fmt: skip
    assert {name for name, dilation in dilations.items() if dilation == 2} == {
        "res5a_branch2a", "res5a_branch2b"
    }  # fmt: skip
    ups = [node for node in graph.nodes if node.op is Op.CONV_TRANSPOSE]
    assert [node.attributes["groups"] for node in ups] == [64, 8, 8, 8]
    assert all(node.inputs[1].endswith(":fixed") for node in ups)
    assert graph.shapes["argMaxOut"] == (1, 512, 1024)


@pytest.mark.parametrize(
    ("size", "cells", "per_cell", "first"),
    [
        ("768x320", [(20, 48), (10, 24), (5, 12), (3, 6), (2, 3)], [4, 6, 6, 6, 4], 256),
        ("512x512", [(64, 64), (16, 16), (8, 8), (4, 4), (2, 2), (1, 1)], [4, 6, 6, 6, 4, 4], 128),
    ],
)
def test_jdetnet_ends_at_its_heads(
    folder: Path, size: str, cells: list[tuple[int, int]], per_cell: list[int], first: int
) -> None:
    """Locations and scores are the outputs; boxes and decoding are described beside the graph."""
    found = import_caffe(folder / f"jdetnet_voc0712_{size}_deploy.prototxt")
    graph, detection = found.graph, found.detection
    assert detection is not None
    boxes = sum(h * w * n for (h, w), n in zip(cells, per_cell, strict=True))
    assert graph.outputs == ("mbox_loc", "mbox_conf")
    assert graph.shapes["mbox_loc"] == (boxes * 4,)
    assert graph.shapes["mbox_conf"] == (boxes * 21,)
    assert [prior.feature for prior in detection.priors] == cells
    assert [prior.per_cell for prior in detection.priors] == per_cell
    assert (detection.classes, detection.code_type, detection.background) == (21, "CENTER_SIZE", 0)
    assert (detection.nms_threshold, detection.nms_top_k, detection.keep_top_k) == (0.45, 400, 200)
    assert detection.confidence_threshold == 0.01
    assert detection.layer == "detection_out"
    assert {"mbox_priorbox", "mbox_conf_reshape", "mbox_conf_softmax", "mbox_conf_flatten"} <= set(
        detection.layers
    )
    assert detection.priors[0].variances == (0.1, 0.1, 0.2, 0.2)
    heads = {row[0]: row[1:] for row in convolutions(graph)}
    assert heads["ctx_output1"][:3] == (first, 256, 1)
    assert heads["ctx_output2/relu_mbox_conf"][:2] == (256, 126)


@pytest.mark.parametrize("size", ["768x320", "512x512"])
def test_a_detector_is_written_with_its_post_processing(
    folder: Path, tmp_path: Path, size: str
) -> None:
    """Read again, graph and description are the same but for the names of layers in between."""
    found = import_caffe(folder / f"jdetnet_voc0712_{size}_deploy.prototxt")
    assert found.detection is not None
    files = tmp_path / "net.prototxt", tmp_path / "net.caffemodel"
    write_caffe(found.graph, *files, detection=found.detection)
    again = import_caffe(*files)
    assert again.graph.nodes == found.graph.nodes
    assert again.detection is not None
    assert replace(again.detection, layers=()) == replace(found.detection, layers=())
    elsewhere = replace(found.detection, location="nowhere")
    with pytest.raises(InputError, match="'nowhere' is not in graph"):
        write_caffe(found.graph, *files, detection=elsewhere)


def test_mobilenet_is_depthwise(folder: Path) -> None:
    """Thirteen depthwise convolutions between pointwise ones, at half width."""
    rows = convolutions(import_caffe(folder / "mobilenet0.5_imagenet_deploy.prototxt").graph)
    depthwise = [row for row in rows if row[4] > 1]
    assert len(depthwise) == 13
    assert all(row[1] == row[2] == row[4] for row in depthwise)
    assert (rows[0][2], rows[-2][2], rows[-1][2]) == (16, 512, 1000)


def test_solver_settings_are_the_texts_numbers(folder: Path) -> None:
    """JDetNet's sparse stage; what the file leaves out has caffe-jacinto's defaults."""
    found = read_solver(folder / "jdetnet_voc0712_768x320_sparse_solver.prototxt")
    assert (found.base_lr, found.lr_policy, found.power) == (0.001, "poly", 4.0)
    assert found.stepvalue == (60000, 90000, 300000)
    assert (found.weight_decay, found.regularization_type, found.iter_size) == (1e-5, "L1", 4)
    assert found.sparse_mode == "SPARSE_UPDATE"
    assert (found.sparsity_target, found.sparsity_start_iter, found.sparsity_start_factor) == (
        0.7, 0, 0.25)  # fmt: skip
    assert (found.sparsity_step_iter, found.sparsity_step_factor) == (2000, 0.05)
    assert (found.sparsity_threshold_maxratio, found.sparsity_threshold_value_max) == (0.2, 0.2)
    assert found.sparsity_itr_increment_bfr_applying
    plain = read_solver(folder / "jacintonet11v2_imagenet_initial_solver.prototxt")
    assert (plain.sparse_mode, plain.sparsity_step_iter, plain.random_seed) == (
        "SPARSE_NONE", 1000, 33)  # fmt: skip
