"""The reference networks equal the published definitions, and cost what TI says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tidl.zoo.sizes import captured
from torch import nn

from nibblefit.errors import InputError
from nibblefit.ir.attributes import spatial
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.capture import capture
from nibblefit.nn.load import load_source
from nibblefit.nn.names import FIXED
from nibblefit.nn.network import Network
from nibblefit.recipe import ModelSection
from nibblefit.tasks.detection.heads import joined, paired
from nibblefit_tidl import zoo
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.complexity import mmac
from nibblefit_tidl.zoo.caffe_names import module_constant

#: Published file → (factory, input shape of the file, a small one to run).
PUBLISHED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "jacintonet11v2_imagenet": (zoo.jacintonet11, (3, 224, 224), (3, 64, 64)),
    "jacintonet11v2_cifar10": (zoo.jacintonet11_cifar10, (3, 32, 32), (3, 32, 32)),
    "jsegnet21v2_cityscapes5": (lambda: zoo.jsegnet21(decide=True), (3, 512, 1024), (3, 32, 64)),
    "jdetnet_voc0712_768x320": (zoo.jdetnet, (3, 320, 768), (3, 96, 160)),
    "jdetnet_voc0712_512x512": (
        lambda: zoo.jdetnet(layout="512x512"), (3, 512, 512), (3, 128, 128)
    ),
}  # fmt: skip
_LAYERS = (Op.CONV, Op.CONV_TRANSPOSE, Op.LINEAR, Op.MAX_POOL, Op.GLOBAL_AVG_POOL)


def description(graph: Graph) -> Counter[tuple[Any, ...]]:
    """Return operator, weights' shape, groups, strides, pads, dilations and output of layers."""
    rows = []
    for node in graph.nodes:
        if node.op in _LAYERS:
            weights = node.inputs[1:2]
            window = [tuple(node.attributes.get(key) or ()) for key in ("kernel", "strides")]
            window.append(spatial(node.attributes, "pads", 4, 0))
            window.append(spatial(node.attributes, "dilations", 2, 1))
            rows.append((
                node.op, *(graph.constants[name].shape for name in weights), *window,
                node.attributes.get("groups"), graph.shapes[node.output],
            ))  # fmt: skip
    return Counter(rows)


@pytest.mark.parametrize("name", PUBLISHED)
def test_ours_equal_theirs_layer_by_layer(shared: Path, name: str) -> None:
    """Channels, kernels, groups, strides, dilations and every shape, at the published size."""
    factory, shape, small = PUBLISHED[name]
    file = shared / "vendor" / "tidl" / "prototxt" / f"{name}_deploy.prototxt"
    theirs = import_caffe(file).graph
    ours = captured(factory(), shape, small)
    assert description(ours) == description(theirs)
    assert mmac(ours) == mmac(theirs)


def test_mobilenet_at_half_width_equals_theirs(shared: Path) -> None:
    """Layer by layer but for the classifier, a 1 × 1 convolution there and a linear layer here."""
    file = shared / "vendor" / "tidl" / "prototxt" / "mobilenet0.5_imagenet_deploy.prototxt"
    theirs = description(import_caffe(file).graph)
    ours = description(capture(zoo.mobilenetv1(width=0.5), (3, 224, 224), name="ours"))
    assert [row[:2] for row in theirs - ours] == [(Op.CONV, (1000, 512, 1, 1))]
    assert [row[:2] for row in ours - theirs] == [(Op.LINEAR, (1000, 512))]


@pytest.mark.parametrize("name", [n for n in PUBLISHED if n != "jdetnet_voc0712_512x512"])
def test_ours_compute_what_theirs_compute(shared: Path, name: str) -> None:
    """With the weights of the imported network, by name, outputs agree to float64's last digits."""
    factory, _, shape = PUBLISHED[name]
    file = shared / "vendor" / "tidl" / "prototxt" / f"{name}_deploy.prototxt"
    theirs = import_caffe(file, input_shape=shape, end="scores").graph
    ours = capture(factory(), shape, name="ours")
    if ours.node(ours.producers()[ours.outputs[0]].name).op is Op.ARGMAX:
        ours = replace(ours, outputs=(ours.producers()[ours.outputs[0]].inputs[0],))
    values = {module_constant(bare(n)): value for n, value in theirs.constants.items()}
    random = np.random.default_rng(0)
    moved = {}
    for constant, value in ours.constants.items():
        found = values.get(bare(constant))
        if found is not None:
            moved[constant] = found.reshape(value.shape)
            if "running" in constant:
                moved[constant] = random.uniform(0.5, 1.5, value.shape).astype("f4")
    back = {bare(n): v for n, v in moved.items()}
    theirs = theirs.with_constants({
        n: back[module_constant(bare(n))].reshape(v.shape)
        for n, v in theirs.constants.items() if module_constant(bare(n)) in back
    })  # fmt: skip
    # The offset of −128 is a buffer here and a frozen Bias there; all else moves over by name.
    assert {bare(n) for n in ours.constants} - set(back) <= {"base.offset.value"}
    x = random.integers(0, 256, (1, *shape))
    one = run_float(ours.with_constants(moved), {ours.inputs[0]: x})
    two = run_float(theirs, {theirs.inputs[0]: x})
    for a, b in zip(ours.outputs, theirs.outputs, strict=True):
        np.testing.assert_allclose(one[a], two[b], rtol=1e-9, atol=1e-9 * np.abs(two[b]).max())


def bare(constant: str) -> str:
    """Return a constant's name without the mark of frozen ones."""
    return constant.removesuffix(FIXED)


COSTS: list[tuple[str, Callable[[], nn.Module], tuple[int, ...], float]] = [
    ("JSegNet21", zoo.jsegnet21, (3, 512, 1024), 8808.04),
    ("JacintoNet11", zoo.jacintonet11, (3, 224, 224), 405.81),
    ("JacintoNet11 CIFAR-10", zoo.jacintonet11_cifar10, (3, 32, 32), 287.94),
    ("JDetNet", zoo.jdetnet, (3, 320, 768), 2130.05),
    ("MobileNet 1.0", zoo.mobilenetv1, (3, 224, 224), 567.70),
    ("InceptionNetV1", zoo.inceptionnetv1, (3, 224, 224), 1497.37),
    ("SqueezeNet as TI counted it", lambda: zoo.squeezenet(padding=1), (3, 227, 227), 390.80),
    ("SqueezeNet of Caffe", zoo.squeezenet, (3, 227, 227), 387.73),
]


@pytest.mark.parametrize(("factory", "shape", "expected"), [case[1:] for case in COSTS],
                         ids=[case[0] for case in COSTS])  # fmt: skip
def test_networks_cost_what_ti_publishes(
    factory: Callable[[], nn.Module], shape: tuple[int, ...], expected: float
) -> None:
    """Millions of multiply-accumulates to two decimals, by TI's rule of counting."""
    # Pools of the last three round sizes up differently at different sizes: captured as they are.
    small = (3, 96, 160) if shape[1] > 227 else shape
    assert mmac(captured(factory(), shape, small)) == expected


@pytest.mark.parametrize(
    ("factory", "arguments", "shape", "outputs"),
    [
        ("jacintonet11", {"classes": 10, "channels": 1, "width": 8, "strides": [1, 1, 2, 2, 1],
                          "offset": 0}, (1, 28, 28), [(10,)]),
        ("jacintonet11_cifar10", {"width": 4}, (3, 32, 32), [(10,)]),
        ("jsegnet21", {"classes": 5, "width": 8, "offset": 0}, (3, 64, 32), [(5, 64, 32)]),
        ("jdetnet", {"classes": 4, "width": 8, "layout": "512x512"}, (3, 128, 128),
         [(4 * 1158,), (4 * 1158,)]),
        ("jdetnet", {"classes": 3, "width": 4, "layout": "512x512", "strides": [2, 2, 2, 2, 1],
                     "boxes": [2, 4, 1], "joined": False}, (3, 64, 96),
         [(8, 8, 12), (16, 4, 6), (4, 2, 3), (6, 8, 12), (12, 4, 6), (3, 2, 3)]),
        ("mobilenetv1", {"classes": 7, "width": 0.25, "offset": -128}, (3, 64, 64), [(7,)]),
        ("squeezenet", {"classes": 3, "offset": 1}, (3, 63, 63), [(3,)]),
        ("inceptionnetv1", {"classes": 3, "channels": 1}, (1, 33, 33), [(3,)]),
    ],
)  # fmt: skip
def test_factories_work_from_a_recipe(
    tmp_path: Path, factory: str, arguments: dict[str, Any], shape: tuple[int, ...],
    outputs: list[tuple[int, ...]],
) -> None:  # fmt: skip
    """Named in model.source, with other classes, channels and widths; trainable afterwards."""
    section = ModelSection(source=f"nibblefit_tidl.zoo:{factory}", arguments=arguments)
    graph = load_source(section, tmp_path, shape)
    assert [graph.shapes[name] for name in graph.outputs] == outputs
    network = Network(graph)
    scores = network(torch.zeros(2, *shape))
    assert [tuple(s.shape[1:]) for s in scores] == outputs


@pytest.mark.parametrize("factory", ["jacintonet11", "jacintonet11_cifar10", "jsegnet21"])
def test_running_statistics_follow_the_argument(tmp_path: Path, factory: str) -> None:
    """Every batch norm of the trained network takes the asked share of a batch, 0.01 unasked."""
    for arguments, share in (({}, 0.01), ({"statistics": 0.1}, 0.1)):
        section = ModelSection(source=f"nibblefit_tidl.zoo:{factory}",
                               arguments={"width": 4, **arguments})  # fmt: skip
        graph = load_source(section, tmp_path, (3, 32, 32))
        norms = [node for node in graph.nodes if node.op is Op.BATCH_NORM]
        assert len(norms) >= 10
        # 0.1 is what a batch norm without the attribute takes.
        assert {norm.attributes.get("momentum", 0.1) for norm in norms} == {share}


@pytest.mark.parametrize(
    ("factory", "arguments", "said"),
    [
        ("jacintonet11", {"width": 6}, "multiple of 4"),
        ("jsegnet21", {"width": 4, "statistics": 0.0}, "above 0, at most 1"),
        ("jacintonet11", {"strides": [2, 2]}, "expected five"),
        ("jdetnet", {"layout": "300x300"}, "expected one of 768x320"),
        ("jdetnet", {"boxes": [4]}, "expected two or more numbers"),
        ("jdetnet", {"boxes": [4, 0]}, "expected two or more numbers"),
        ("mobilenetv1", {"width": 0}, "above 0"),
    ],
)
def test_arguments_that_cannot_be_are_refused(
    tmp_path: Path, factory: str, arguments: dict[str, Any], said: str
) -> None:
    """One line that says what is expected."""
    section = ModelSection(source=f"nibblefit_tidl.zoo:{factory}", arguments=arguments)
    with pytest.raises(InputError, match=said):
        load_source(section, tmp_path, (3, 64, 64))


def test_heads_of_a_detector_say_the_same_joined_and_apart() -> None:
    """Core's detection task reads the maps; put in order, they are the joined lists."""
    torch.manual_seed(0)
    network = zoo.jdetnet(3, width=4, boxes=[2, 3, 1]).eval()
    apart = zoo.jdetnet(3, width=4, boxes=[2, 3, 1], joined=False).eval()
    apart.load_state_dict(network.state_dict())
    picture = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        locations, scores = network(picture)
        maps = apart(picture)
    by_anchor = joined(paired(maps, classes=2))
    assert torch.equal(locations, by_anchor[0].flatten(1))
    assert torch.equal(scores, by_anchor[1].flatten(1))


def test_bilinear_upsamplings_are_frozen() -> None:
    """Their weights have no gradient and sum to four over each kernel."""
    network = zoo.jsegnet21(width=8)
    for layer in (network.out5a_up2, network.up2, network.up4, network.up8):
        assert not layer.weight.requires_grad
        assert torch.equal(layer.weight.sum((2, 3)), torch.full(layer.weight.shape[:2], 4.0))


def test_names_of_other_networks_are_left_alone() -> None:
    """Only the layers of TI's three networks are translated."""
    assert module_constant("conv7.weight") == "conv7.weight"
    assert module_constant("ctx_output2/relu_mbox_conf.bias") == "conf.1.bias"
