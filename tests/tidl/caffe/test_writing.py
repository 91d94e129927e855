"""What is written is read again as the same numbers; what Caffe cannot say is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nibblefit.errors import UnsupportedError
from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.capture import capture
from nibblefit.nn.rewrite.canonical import canonical
from nibblefit.nn.rewrite.fold_batch_norm import fold_batch_norm
from nibblefit_tidl.caffe.entry import CaffeNetwork, import_caffe
from nibblefit_tidl.caffe.writing import write_caffe
from nibblefit_tidl.zoo import inceptionnetv1, jacintonet11, jdetnet, jsegnet21, squeezenet


def written(graph: Graph, folder: Path, **options: str) -> CaffeNetwork:
    """Write a graph and read it again."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    write_caffe(graph, prototxt, caffemodel, **options)  # type: ignore[arg-type]
    return import_caffe(prototxt, caffemodel)


def assert_same_numbers(first: Graph, second: Graph) -> None:
    """Require every output to be equal in float64, bit for bit; Caffe's have names, no order."""
    shape = first.shapes[first.inputs[0]]
    x = np.random.default_rng(0).integers(0, 256, (2, *shape))
    one, two = (run_float(graph, {graph.inputs[0]: x}) for graph in (first, second))
    assert set(first.outputs) == set(second.outputs)
    for name in first.outputs:
        np.testing.assert_array_equal(one[name], two[name])


def with_statistics(graph: Graph) -> Graph:
    """Return the graph with batch norms that do something."""
    random = np.random.default_rng(1)
    changed = {
        name: random.uniform(0.5, 1.5, value.shape).astype("f4")
        for name, value in graph.constants.items()
        if "running" in name or value.ndim == 1
    }
    return graph.with_constants(changed)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "jacintonet11": (lambda: jacintonet11(10, width=8), (3, 64, 64)),
    "jsegnet21": (lambda: jsegnet21(4, width=8, decide=True), (3, 32, 64)),
    "jdetnet": (lambda: jdetnet(3, width=8), (3, 64, 96)),
    "squeezenet": (lambda: squeezenet(10), (3, 63, 63)),
    "inceptionnetv1": (lambda: inceptionnetv1(10), (3, 33, 33)),
}


#: InceptionNetV1 has six million weights; one form is enough for its joints.
CASES = [(name, form) for name in NETWORKS for form in ("ti", "bvlc", "folded")
         if name != "inceptionnetv1" or form == "folded"]  # fmt: skip


@pytest.mark.parametrize(("name", "form"), CASES)
def test_reference_networks_survive_the_way_there_and_back(
    tmp_path: Path, name: str, form: str
) -> None:
    """Float64 equality of every output, in both dialects and with batch norms folded."""
    factory, shape = NETWORKS[name]
    torch.manual_seed(0)
    graph = with_statistics(capture(factory(), shape, name=name))
    if form == "folded":
        graph = fold_batch_norm(graph)
    found = written(graph, tmp_path, dialect="bvlc" if form == "bvlc" else "ti")
    assert_same_numbers(graph, found.graph)
    assert not found.notes
    assert found.graph.name == name


class Everything(nn.Module):
    """One of each operator that Caffe has a layer for."""

    def __init__(self) -> None:
        super().__init__()
        self.pre = nn.PReLU(4, init=0.1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.tall = nn.Conv2d(4, 4, (3, 1), stride=(1, 2), padding=(2, 0), dilation=(2, 1))
        self.leaky = nn.LeakyReLU(0.125)
        self.gain = nn.Parameter(torch.rand(4, 1, 1))
        self.fc = nn.Linear(16, 6)
        self.rows = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return six outputs, one of which is read by others."""
        small = nn.functional.max_pool2d(x, (4, 7), 1)
        a = self.pre(self.shared(self.shared(x * 0.5 - 1)))
        a, b = torch.split(torch.cat([a, self.leaky(a)], 1), [4, 4], dim=1)
        c = (a - b) * a + torch.abs(b) * self.gain - self.gain
        c = torch.sigmoid(self.tall(c)) + torch.tanh(self.tall(c))
        d = torch.clamp(c, 0, 6)[:, :, 1:3, 1:3] + small
        e = nn.functional.max_pool2d(d, 2, 1) + nn.functional.avg_pool2d(d, 2, 1)
        f = self.fc(torch.flatten(torch.relu(d).permute(0, 2, 3, 1), 1))
        g = self.rows(self.fc(d.reshape(-1, 1, 16)))
        whole = torch.amax(d, (2, 3), keepdim=True)
        return e, f, torch.softmax(f, 1), torch.argmax(f, 1, keepdim=True), whole, g.argmax(2)


def test_every_operator_that_caffe_knows(tmp_path: Path) -> None:
    """Two-sized windows, shared weights, constants per channel and alone, crops, argmax."""
    torch.manual_seed(0)
    graph = capture(Everything(), (4, 5, 8), name="everything")
    found = written(graph, tmp_path)
    assert_same_numbers(graph, found.graph)
    assert len({n.inputs[1] for n in found.graph.nodes if n.op.value == "conv"}) == 2


def test_names_and_frozen_weights_stay(tmp_path: Path) -> None:
    """Layers keep their names, frozen upsamplings a learning rate of zero."""
    graph = capture(jsegnet21(4, width=8), (3, 32, 64), name="jsegnet21")
    found = written(graph, tmp_path).graph
    assert [node.name for node in found.nodes] == [node.name for node in graph.nodes]
    assert {n for n in found.constants if n.endswith(":fixed")} >= {
        "out5a_up2.weight:fixed", "up8.weight:fixed"
    }  # fmt: skip
    assert "lr_mult: 0" in (tmp_path / "net.prototxt").read_text()


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """Files are a function of the graph alone."""
    graph = capture(jacintonet11(10, width=8), (3, 32, 32), name="twice")
    texts = []
    for name in ("a", "b"):
        write_caffe(graph, tmp_path / f"{name}.prototxt", tmp_path / f"{name}.caffemodel")
        texts.append([(tmp_path / f"{name}.{end}").read_bytes() for end in (
            "prototxt", "caffemodel")])  # fmt: skip
    assert texts[0] == texts[1]


class Odd(nn.Module):
    """Things that Caffe cannot say, chosen by name."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case = case
        self.conv = nn.Conv2d(4, 4, 3)
        self.up = nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1)
        self.norm = nn.BatchNorm2d(4, eps=1e-6)
        self.precise = nn.BatchNorm2d(4, eps=0.000123456789)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of one construct."""
        functional = nn.functional
        cases: dict[str, Callable[[], Tensor]] = {
            "floor": lambda: functional.max_pool2d(x, 2, 2),
            "exclude": lambda: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
            "dilated": lambda: functional.max_pool2d(x, 2, 1, 0, 2),
            "uneven": lambda: self.conv(functional.pad(x, (1, 0, 1, 0))),
            "output padding": lambda: self.up(x),
            "clip": lambda: torch.clamp(x, -1, 1),
            "swish": lambda: functional.hardswish(x),
            "stride": lambda: x[:, :, ::2],
            "crop": lambda: x[:, :, 1:4, 1:4],
            "broadcast": lambda: x * torch.amax(x, (2, 3), keepdim=True),
            "per column": lambda: x + torch.arange(7.0),
            "epsilon": lambda: self.norm(x),
            "digits": lambda: self.precise(x),
            "nearest": lambda: functional.interpolate(x, scale_factor=2.0),
        }
        return cases[self.case]()


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("floor", r"rounds its size up to \(4, 4\)"), ("exclude", "leaves padding out"),
        ("dilated", "window is dilated"), ("uneven", "differ at begin and end"),
        ("output padding", "output_padding"), ("clip", "TI's importers know"),
        ("swish", "no layer for it"), ("stride", "every other entry"),
        ("crop", "no earlier tensor"), ("broadcast", "inputs broadcast"),
        ("per column", "one number per channel"), ("epsilon", "below 1e-05"),
        ("digits", "more digits"), ("nearest", "no layer for it"),
    ],
)  # fmt: skip
def test_what_caffe_cannot_say_is_refused_by_name(tmp_path: Path, case: str, said: str) -> None:
    """The node, the reason, a remedy; no file is written."""
    graph = canonical(capture(Odd(case).eval(), (4, 7, 7), name="odd"))
    with pytest.raises(UnsupportedError, match=said):
        written(graph, tmp_path)
    assert not list(tmp_path.iterdir())


def test_single_nodes_of_graphs_made_by_hand(tmp_path: Path) -> None:
    """Dropout, a trained scale of one, softmax along rows, an output that is the input's twin."""
    builder = GraphBuilder("hand")
    x = builder.add_input("x", (2, 3, 3))
    dropped = builder.add(Op.DROPOUT, [x], "drop", p=0.25)
    one, zero = builder.add_constant("s.weight", np.ones(2)), builder.add_constant("s.bias", [0, 2])
    scaled = builder.add(Op.SCALE_OFFSET, [dropped, one, zero], "s")
    same = builder.add(Op.IDENTITY, [scaled], "same")
    total = builder.add(Op.ADD, [builder.add_constant("c", np.array(2.5)), same], "total")
    soft = builder.add(Op.SOFTMAX, [total], "soft", axis=-1)
    capped = builder.add(Op.CLIP, [total], "capped", lo=0, hi=None)
    kept = builder.add(Op.RESHAPE, [capped], "rows", shape=(6, 3))
    rows = builder.add(Op.FLATTEN, [kept], "flat", start_axis=2)
    last = builder.add(Op.IDENTITY, [dropped], "last")
    best = builder.add(Op.ARGMAX, [total], "best", axis=-2, keepdims=False)
    graph = builder.finish([soft, rows, last, best])
    found = written(graph, tmp_path).graph
    values = run_float(graph, {"x": (given := np.random.default_rng(2).normal(size=(2, 2, 3, 3)))})
    again = run_float(found, {"x": given})
    np.testing.assert_array_equal(values["soft"], again["soft"])
    np.testing.assert_array_equal(values["flat"], again["rows"])
    np.testing.assert_array_equal(values["best"], again["best"])
    assert {"s.weight", "s.bias"} <= set(found.constants)  # a Scale: its ones are trained
    assert next(n for n in found.nodes if n.op is Op.DROPOUT).attributes["p"] == 0.25


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "said"),
    [
        (Op.CONCAT, {"c": np.ones((1, 3, 3))}, {"axis": 1}, "joins a constant"),
        (Op.CONV, {}, {}, "computed by the network"),
        (Op.DROPOUT, {}, {"whole_channels": True}, "drops whole channels"),
        (Op.ADD, {"c": np.ones((2, 1, 1)), "d": np.ones((2, 1, 1))}, {}, "more than one tensor"),
        (Op.LEAKY_RELU, {}, {"slope": 0.123456789}, "more digits"),
    ],
)
def test_nodes_that_caffe_lacks(
    tmp_path: Path, op: Op, constants: dict[str, np.ndarray], attributes: dict[str, Any], said: str
) -> None:
    """Constants where Caffe wants blobs, blobs where it wants constants, numbers it rounds."""
    builder = GraphBuilder("hand")
    x = builder.add_input("x", (2, 3, 3))
    inputs = [x, *(builder.add_constant(name, value) for name, value in constants.items())]
    if op is Op.CONV:
        inputs.append(builder.add_input("w", (2, 1, 1)))
        node = Node("l", op, tuple(inputs), ("l",))
        graph = Graph("hand", ("x", "w"), ("l",), (node,),
                      frozen_mapping({"x": (2, 3, 3), "w": (2, 1, 1), "l": (2, 3, 3)}),
                      frozen_mapping())  # fmt: skip
    else:
        graph = builder.finish([builder.add(op, inputs, "l", **attributes)])
    with pytest.raises(UnsupportedError, match=said):
        written(graph, tmp_path)


def test_a_classifier_of_one_axis_needs_keepdims(tmp_path: Path) -> None:
    """Caffe's ArgMax keeps its axis; an output without any axis has no blob."""
    builder = GraphBuilder("hand")
    x = builder.add_input("x", (5,))
    graph = builder.finish([builder.add(Op.ARGMAX, [x], "l", axis=1, keepdims=False)])
    with pytest.raises(UnsupportedError, match="no axis left"):
        written(graph, tmp_path)
