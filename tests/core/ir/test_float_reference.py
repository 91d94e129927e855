"""The float reference against torch, operator by operator and as a whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.core.ir import everything
from tests.core.ir.build import Float
from torch.nn import functional

from nibblefit.errors import GraphError, InputError
from nibblefit.ir.float_reference import FORMULAS, run_float
from nibblefit.ir.legal import check_graph
from nibblefit.ir.ops import Op

RNG = np.random.default_rng(8)


def torch_of(graph, x):
    """The same network in torch, written by hand."""
    c = {name: torch.from_numpy(v) for name, v in graph.constants.items()}
    y = functional.conv2d(torch.from_numpy(x), c["w"], c["b"], padding=1, groups=2)
    y = functional.batch_norm(y, c["mean"], c["variance"], c["gamma"], c["beta"], eps=1e-5)
    y = functional.leaky_relu(functional.prelu(y, c["slope"]), 0.1)
    y = torch.tanh(torch.sigmoid(functional.hardswish(functional.hardsigmoid(y))))
    y = functional.avg_pool2d(y, 3, 2, 1, ceil_mode=True).clamp(0.1, 6.0)
    y = functional.interpolate(y, (5, 5), mode="bilinear", align_corners=False)
    return torch.softmax(functional.linear(y.mean((2, 3)), c["wl"]), 1).numpy()


def test_the_float_reference_equals_torch_to_1e_9():
    """A network of all float operators, in float64."""
    graph = everything.floating()
    check_graph(graph)
    x = RNG.normal(size=(3, 4, 6, 6))
    found = run_float(graph, {"x": x})
    np.testing.assert_allclose(found["shares"], torch_of(graph, x), rtol=1e-9)
    assert set(found) == set(graph.shapes)
    assert all(value.shape[1:] == graph.shapes[name] for name, value in found.items())


def test_float32_execution_stays_float32():
    """The dtype is the caller's choice, all the way through."""
    found = run_float(everything.floating(), {"x": RNG.normal(size=(1, 4, 6, 6))}, np.float32)
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("op", "attributes", "function"), [
    (Op.RELU, {}, torch.relu),
    (Op.ABS, {}, torch.abs),
    (Op.SIGMOID, {}, torch.sigmoid),
    (Op.HARD_SIGMOID, {"alpha": 0.2, "beta": 0.4}, lambda x: (0.2 * x + 0.4).clamp(0, 1)),
    (Op.CLIP, {"lo": None, "hi": 1.0}, lambda x: x.clamp(max=1.0)),
    (Op.ARGMAX, {"axis": 1}, lambda x: x.argmax(1)),
    (Op.GLOBAL_MAX_POOL, {}, lambda x: x.amax((2, 3), keepdim=True)),
    (Op.PIXEL_SHUFFLE, {"factor": 2}, lambda x: functional.pixel_shuffle(x, 2)),
    (Op.TRANSPOSE, {"perm": (0, 3, 1, 2)}, lambda x: x.permute(0, 3, 1, 2)),
    (Op.PAD, {"pads": (0, 1, 0, 0, 0, 2), "value": 1.5},
     lambda x: functional.pad(x, (0, 2, 1, 0), value=1.5)),
    (Op.AVG_POOL, {"kernel": (2, 2), "pads": (1, 1, 1, 1), "count_include_pad": False},
     lambda x: functional.avg_pool2d(x, 2, 1, 1, count_include_pad=False)),
    (Op.IDENTITY, {}, lambda x: x),
])  # fmt: skip
def test_single_operators_equal_torch(op, attributes, function):
    """Values far from zero included, where naive sigmoids overflow."""
    net = Float()
    net.input("x", (4, 3, 3))
    net.node(op, ["x"], "y", **attributes)
    x = RNG.normal(size=(2, 4, 3, 3)) * 300
    expected = function(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(
        run_float(net.graph(), {"x": x})["y"], expected, rtol=1e-12, atol=1e-300
    )


def test_constants_broadcast_over_the_batch():
    """A per-channel constant in an addition, and a matrix in a product."""
    net = Float()
    net.input("x", (4, 3))
    net.constant("c", RNG.normal(size=(4, 1)))
    net.constant("m", RNG.normal(size=(3, 2)))
    net.node(Op.ADD, ["x", "c"], "sum")
    net.node(Op.MATMUL, ["sum", "m"], "y")
    x = RNG.normal(size=(5, 4, 3))
    graph = net.graph()
    expected = (x + graph.constants["c"]) @ graph.constants["m"]
    np.testing.assert_allclose(run_float(graph, {"x": x})["y"], expected, rtol=1e-12, atol=1e-300)


def test_unusable_inputs_and_nodes_are_refused_by_name():
    """Missing and misshapen inputs; operators and attributes that do not exist."""
    net = Float()
    net.input("x", (4,))
    net.node(Op.SHIFT_RIGHT, ["x", "x"], "y") if False else net.node(
        Op.TABLE, ["x", net.constant("t", [1.0])], "y"
    )
    with pytest.raises(InputError, match="'x' is missing"):
        run_float(net.graph(), {})
    with pytest.raises(InputError, match=r"expected \(batch, 4\)"):
        run_float(net.graph(), {"x": np.zeros((1, 5))})
    with pytest.raises(GraphError, match="node 'y': table does not exist in float graphs"):
        run_float(net.graph(), {"x": np.zeros((1, 4))})
    net = Float()
    net.input("x", (4,))
    net.node(Op.CLIP, ["x"], "y")
    with pytest.raises(GraphError, match=r"node 'y' \(clip\): 'lo'"):
        run_float(net.graph(), {"x": np.zeros((1, 4))})


def test_every_float_operator_has_a_formula():
    """Only the quantized-only operators are missing."""
    assert set(Op) - set(FORMULAS) == {Op.TABLE, Op.CHOOSE_SHIFT, Op.SHIFT_RIGHT}
